"""Acting on jobs: one, the selected, and all that match."""

import re
from datetime import timedelta
from html import unescape
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from derive.admin.display.template_tags import short
from derive.admin.jobs import long_action
from derive.admin.jobs.bulk import actions
from derive.admin.jobs.bulk import views as bulk_views
from derive.contracts import JobRef, Outcome, RunFacts
from derive.models import Job, JobEvent
from derive.queue import JobQueue
from derive.states import JobStatus, RunStatus
from tests.admin.conftest import Browse
from tests.contract.scenes import a_job, claim_one, in_state, queued, ref, status_of

ASK, RUN, UNDO = (f"admin:derive_job_act{end}" for end in ("", "_run", "_undo"))


def chosen(*jobs: Any) -> list[str]:
    return [f"{job.job_id}~{job.status}" for job in jobs]


def act(client: Client, action: str, *jobs: Any, value: str = "", reason: str = "as asked", **more: Any) -> Any:
    form = {"action": action, "job": chosen(*jobs), "reason": reason, "value": value, **more}
    return client.post(reverse(RUN), form, headers={"Accept": "application/json"})


def matching(client: Client, action: str, query: str, **more: Any) -> Any:
    """Ask and then go through the steps, as the page's script does; return the sums."""
    asked = client.post(reverse(ASK), {"action": action, "scope": "matching", "filter": query})
    total: dict[str, Any] = {"asked": asked, "changed": 0, "refused": [], "undo": [], "steps": 0}
    cursor: str | None = asked.context["cursor"]
    while cursor:
        answer = act(client, action, scope="matching", filter=query, cursor=cursor, **more).json()
        assert not answer["error"]
        total["changed"] += answer["changed"]
        total["refused"] += answer["refused"]
        total["undo"].append(answer["undo"])
        total["steps"] += 1
        cursor = answer["cursor"]
    return total


def test_an_action_asks_first_and_then_acts_with_its_reason(operator: Client, browse: Browse, queue: JobQueue) -> None:
    job = queued(queue)
    asked = operator.post(reverse(ASK), {"action": "cancel", "job": chosen(job)})
    assert asked.context["count"] == 1
    assert status_of(job) is JobStatus.NEW
    assert act(operator, "cancel", job).json()["changed"] == 1
    event = JobEvent.objects.filter(job_id=job.job_id).latest("event_seq")
    assert (event.event, event.reason) == ("cancelled", "as asked")
    assert event.actor == browse.people["operator"].username


@pytest.mark.parametrize(
    ("action", "before", "value", "after"),
    [
        ("requeue", JobStatus.FAILED, "", {"status": "NEW"}),
        ("cancel", JobStatus.SCHEDULED, "", {"status": "CANCELLED"}),
        ("priority", JobStatus.NEW, "7", {"priority": 7}),
        ("reschedule", JobStatus.NEW, "2199-01-01T00:00", {"status": "SCHEDULED"}),
        ("reschedule", JobStatus.SCHEDULED, "now", {"status": "NEW"}),
        ("model", JobStatus.NEW, "tiny", {"model_hint": "tiny"}),
        ("model", JobStatus.FAILED, "", {"model_hint": None}),
    ],
)
def test_each_action_does_what_it_says(  # noqa: PLR0917 (parametrized)
    operator: Client, queue: JobQueue, action: str, before: JobStatus, value: str, after: dict[str, Any]
) -> None:
    job = in_state(queue, before, model_hint=None if value else "big")
    answer = act(operator, action, _as_is(job.job_id), value=value).json()
    assert (answer["changed"], answer["refused"]) == (1, [])
    assert Job.objects.filter(
        pk=job.job_id,
        **{f"{name}__isnull" if wanted is None else name: wanted is None or wanted for name, wanted in after.items()},
    ).exists()


def test_a_hold_is_set_and_ended(operator: Client, queue: JobQueue) -> None:
    job = queued(queue)
    act(operator, "hold", job)
    assert Job.objects.get(pk=job.job_id).hold_utc
    act(operator, "unhold", job)
    assert Job.objects.get(pk=job.job_id).hold_utc is None


def _as_is(job_id: UUID) -> Any:
    return Job.objects.get(pk=job_id)


@pytest.mark.parametrize(
    ("action", "value", "reason"),
    [
        ("cancel", "", " "),
        ("cancel", "", "x" * 2_000),
        ("priority", "-1", "why"),
        ("priority", "1e3", "why"),
        ("priority", "99999999999", "why"),
        ("reschedule", "soon", "why"),
        ("model", "x" * 300, "why"),
        ("nonsense", "", "why"),
    ],
)
def test_what_cannot_be_understood_changes_nothing(
    operator: Client, queue: JobQueue, action: str, value: str, reason: str
) -> None:
    job = queued(queue)
    assert act(operator, action, job, value=value, reason=reason).status_code == 400
    assert JobEvent.objects.filter(job_id=job.job_id).count() == 1


def test_without_the_script_a_bad_value_asks_again_and_keeps_the_reason(operator: Client, queue: JobQueue) -> None:
    job = queued(queue)
    form = {"action": "priority", "job": chosen(job), "reason": "my reason", "value": "much"}
    page = operator.post(reverse(RUN), form)
    assert "Write a priority" in page.content.decode()
    assert "my reason" in page.content.decode()


def test_without_the_script_the_report_is_a_page(operator: Client, queue: JobQueue) -> None:
    jobs = [queued(queue), in_state(queue, JobStatus.CANCELLED)]
    page = operator.post(
        reverse(RUN), {"action": "cancel", "job": chosen(*map(_as_is, (j.job_id for j in jobs))), "reason": "x"}
    )
    assert page.context["step"].changed == 1
    assert "already CANCELLED" in page.content.decode() or "CANCELLED" in page.content.decode()


def test_a_stale_pages_action_is_refused_with_what_happened_meanwhile(operator: Client, queue: JobQueue) -> None:
    job = queued(queue)
    queue.cancel([ref(job)], actor="somebody else")
    (refused,) = act(operator, "priority", job, value="5").json()["refused"]
    assert "CANCELLED" in refused["why"]
    assert "cancelled by somebody else" in refused["jobs"][0]["last"]
    assert (refused["jobs"][0]["id"], refused["jobs"][0]["short"]) == (str(job.job_id), short(job.job_id))


def test_all_that_match_are_acted_on_in_steps_and_nothing_else(
    operator: Client, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_action, "STEP_SECONDS", 0)
    monkeypatch.setattr(bulk_views, "CHANGE_BATCH", 4)
    queue.enqueue_many([a_job(entity_id="mine") for _n in range(11)], actor="ada")
    other = queued(queue, entity_id="other")
    done = matching(operator, "priority", "entity=mine", value="500")
    assert (done["changed"], done["refused"], done["steps"]) == (11, [], 3)
    assert done["asked"].context["count"] == 11
    assert Job.objects.filter(priority=500).count() == 11
    assert Job.objects.get(pk=other.job_id).priority == 100


def test_jobs_queued_after_the_question_stay_out(operator: Client, queue: JobQueue) -> None:
    queued(queue)
    cursor = operator.post(reverse(ASK), {"action": "cancel", "scope": "matching", "filter": ""}).context["cursor"]
    late = queued(queue)
    assert act(operator, "cancel", scope="matching", filter="", cursor=cursor).json()["changed"] == 1
    assert status_of(late) is JobStatus.NEW


def test_requeue_by_filter_meets_each_job_once(operator: Client, queue: JobQueue) -> None:
    for _n in range(3):
        in_state(queue, JobStatus.FAILED)
    assert matching(operator, "requeue", "status=FAILED")["changed"] == 3
    assert matching(operator, "requeue", "status=FAILED")["steps"] == 0


def test_a_bad_filter_acts_on_nothing(operator: Client, queue: JobQueue) -> None:
    queued(queue)
    assert act(operator, "cancel", scope="matching", filter="status=BOGUS").status_code == 400


@pytest.mark.parametrize(("action", "value"), [("priority", "7"), ("reschedule", "2199-01-01T00:00")])
def test_undo_puts_back_each_jobs_own_value_unless_somebody_changed_it_since(
    operator: Client, queue: JobQueue, action: str, value: str
) -> None:
    first, second, third = queued(queue, priority=1), queued(queue, priority=2), queued(queue, priority=3)
    before = {job.job_id: _as_is(job.job_id) for job in (first, second, third)}
    done = matching(operator, action, "status=NEW", value=value)
    assert done["changed"] == 3
    queue.reprioritize([ref(third)], actor="bob", priority=9)
    later = timezone.now() + timedelta(days=9)
    queue.reschedule([ref(third)], actor="bob", available_utc=later)
    page = operator.post(reverse(UNDO), {"undo": done["undo"]})
    assert page.context["step"].changed == 2
    assert "it was changed since" in page.content.decode()
    for job in (first, second):
        now = _as_is(job.job_id)
        assert (now.priority, now.available_utc) == (before[job.job_id].priority, before[job.job_id].available_utc)
    assert JobEvent.objects.filter(job_id=first.job_id).latest("event_seq").reason == "undo: as asked"


def test_a_forged_undo_is_refused(operator: Client, queue: JobQueue) -> None:
    assert operator.post(reverse(UNDO), {"undo": "{}:forged"}).status_code == 400


def test_somebody_elses_undo_is_refused(operator: Client, browse: Browse, queue: JobQueue) -> None:
    job = queued(queue)
    token = act(operator, "priority", job, value="7").json()["undo"]
    assert browse("maintainer").post(reverse(UNDO), {"undo": token}).status_code == 403
    assert _as_is(job.job_id).priority == 7


def test_run_again_queues_a_repetition_and_leaves_the_old_job(
    operator: Client, browse: Browse, queue: JobQueue
) -> None:
    queued(queue, dedupe_key="k", entity_id="luke")
    claim = claim_one(queue)
    facts = RunFacts(model_name="tiny", options_json="{}", output_json="{}")
    queue.complete(Outcome(job_id=claim.job_id, run_id=claim.run_id, status=RunStatus.SUCCEEDED, run=facts))
    assert act(operator, "again", _as_is(claim.job_id)).json()["changed"] == 1
    new = Job.objects.get(repeats_run_id=claim.run_id)
    assert (new.status, new.dedupe_key, new.model_hint, new.entity_id) == ("NEW", None, "tiny", "luke")
    assert new.created_by == browse.people["operator"].username
    assert JobEvent.objects.get(job_id=new.job_id).reason == "as asked"
    assert status_of(claim) is JobStatus.SUCCEEDED


def test_run_again_sent_twice_queues_each_repetition_once(operator: Client, queue: JobQueue) -> None:
    queued(queue)
    claim = claim_one(queue)
    facts = RunFacts(model_name="tiny", options_json="{}", output_json="{}")
    queue.complete(Outcome(job_id=claim.job_id, run_id=claim.run_id, status=RunStatus.SUCCEEDED, run=facts))
    asked = operator.post(reverse(ASK), {"action": "again", "job": chosen(_as_is(claim.job_id))})
    (form_id,) = re.findall(r'name="form_id" value="([^"]+)"', asked.text)
    for _ in range(2):
        assert act(operator, "again", _as_is(claim.job_id), form_id=form_id).json()["changed"] == 1
    assert Job.objects.filter(repeats_run_id=claim.run_id).count() == 1
    act(operator, "again", _as_is(claim.job_id), form_id=uuid4())
    assert Job.objects.filter(repeats_run_id=claim.run_id).count() == 2


@pytest.mark.parametrize("status", [JobStatus.NEW, JobStatus.CANCELLED])
def test_what_never_ran_or_has_not_ended_is_not_run_again(operator: Client, queue: JobQueue, status: JobStatus) -> None:
    job = in_state(queue, status)
    (refused,) = act(operator, "again", job if status is JobStatus.NEW else _as_is(job.job_id)).json()["refused"]
    assert refused["why"]
    assert Job.objects.count() == 1


@pytest.mark.parametrize("who", ["nobody", "viewer"])
@pytest.mark.parametrize("address", [ASK, RUN, UNDO])
def test_who_may_not_act_is_refused(browse: Browse, queue: JobQueue, who: str, address: str) -> None:
    job = queued(queue)
    form = {"action": "cancel", "job": chosen(job), "reason": "x"}
    assert browse(who).post(reverse(address), form).status_code == 403
    assert status_of(job) is JobStatus.NEW


def test_a_forged_post_is_refused(operator: Client, queue: JobQueue) -> None:
    job = queued(queue)
    operator.handler.enforce_csrf_checks = True
    assert act(operator, "cancel", job).status_code == 403
    assert status_of(job) is JobStatus.NEW


def test_every_action_is_reached_by_get_from_nowhere(operator: Client) -> None:
    assert {operator.get(reverse(address)).status_code for address in (ASK, RUN, UNDO)} == {405}


def test_a_crafted_reference_is_reported_and_no_crash(operator: Client) -> None:
    page = operator.post(reverse(ASK), {"action": "cancel", "job": ["<script>alert(1)</script>"]})
    assert page.status_code == 400
    assert "<script>alert" not in page.content.decode()


def test_each_actions_words_stand_on_its_question(operator: Client, queue: JobQueue) -> None:
    job = queued(queue)
    for action in actions.ACTIONS.values():
        page = operator.post(reverse(ASK), {"action": action.name, "job": chosen(job)}).content.decode()
        assert action.what.replace("'", "&#x27;") in page


@pytest.mark.parametrize(("who", "offered"), [("operator", True), ("viewer", False)])
def test_actions_are_offered_on_list_and_job_to_whoever_may_act(
    browse: Browse, queue: JobQueue, who: str, offered: bool
) -> None:
    job, client = queued(queue), browse(who)
    for address in (reverse("admin:derive_job_changelist"), reverse("admin:derive_job_change", args=[job.job_id])):
        page = client.get(address).content.decode()
        assert (f'action="{reverse(ASK)}"' in page) is offered
        assert (f'value="{job.job_id}~NEW"' in page) is offered


def test_an_action_leads_back_to_the_list_with_its_filter_or_to_the_job(operator: Client, queue: JobQueue) -> None:
    job = queued(queue)
    its_page = reverse("admin:derive_job_change", args=[job.job_id])
    listed = reverse("admin:derive_job_changelist")
    typed = "status=NEW&entity=luke&nonsense=1"
    for form, back in (
        ({"job": chosen(job), "filter": typed}, f"{listed}?status=NEW&amp;entity=luke"),
        ({"job": chosen(job), "filter": ""}, listed),
        ({"scope": "matching", "filter": typed}, f"{listed}?status=NEW&amp;entity=luke"),
        ({"job": chosen(job)}, its_page),
    ):
        asked = operator.post(reverse(ASK), {"action": "hold", **form})
        assert f'data-back="{back}"' in asked.text
        carried = dict(re.findall(r'name="(action|filter|scope|cursor|form_id)"\s+value="([^"]*)"', asked.text))
        # Without the script the report is a page.
        carried = {name: unescape(value) for name, value in carried.items()}
        done = operator.post(reverse(RUN), {**form, **carried, "reason": "as asked"})
        assert f'href="{back}">Back</a>' in done.text


def test_continuing_with_nothing_selected_leads_back_to_the_list_and_says_so(operator: Client) -> None:
    answer = operator.post(reverse(ASK), {"action": "cancel", "filter": "status=NEW"}, follow=True)
    assert answer.redirect_chain == [(f"{reverse('admin:derive_job_changelist')}?status=NEW", 302)]
    assert "Select the jobs to act on" in answer.text


def test_references_carry_the_state_that_was_seen() -> None:
    assert bulk_views._read_ref("00000000-0000-0000-0000-000000000007~NEW") == JobRef(
        job_id=UUID(int=7), expected_status=JobStatus.NEW
    )


@pytest.mark.parametrize(
    ("status", "offered"),
    [
        (JobStatus.NEW, {"cancel", "priority", "reschedule", "model", "hold"}),
        (JobStatus.RUNNING, {"cancel", "priority", "model", "hold"}),
        (JobStatus.SUCCEEDED, {"hold", "again"}),
        (JobStatus.FAILED, {"requeue", "retry_at", "priority", "model", "hold", "again"}),
    ],
)
def test_a_jobs_page_offers_what_would_change_that_job(
    status: JobStatus, offered: set[str], operator: Client, queue: JobQueue
) -> None:
    job = in_state(queue, status)
    page = reverse("admin:derive_job_change", args=[job.job_id])
    assert {one.name for one in operator.get(page).context["actions"]} == offered
    act(operator, "hold", Job.objects.get(job_id=job.job_id))
    assert {one.name for one in operator.get(page).context["actions"]} == offered - {"hold"} | {"unhold"}


def test_a_dialogs_time_is_read_in_the_zone_that_it_names(operator: Client, queue: JobQueue) -> None:
    operator.cookies["holocron_zone"] = "Asia/Tokyo"
    job = queued(queue)
    act(operator, "reschedule", job, value="2199-07-01T12:00", zone="Europe/Berlin")
    assert f"{_as_is(job.job_id).available_utc:%H:%M}" == "10:00"
