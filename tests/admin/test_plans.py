"""Planning in the admin: refused with what to write, said before it is saved, by those who may."""

import json
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django_q.models import Schedule
from pytest_django.fixtures import Settings

from derive.admin.schedules import plans
from derive.models import (
    EscalationPolicy,
    Job,
    RecurringInterrogation,
    RetentionPolicy,
    RetryPolicy,
    ScheduleRun,
    TaskState,
)
from derive.queue import JobQueue
from derive.schedules import recurring
from derive.schedules.system_tasks import SYSTEM_TASKS
from derive.sql.clock import database_now
from derive.states import JobStatus
from tests.admin.conftest import HOSTILE, Browse
from tests.contract.plans import a_policy, a_recurring
from tests.contract.scenes import claim_one, failure, in_state, job_of, pass_time, ref
from tests.faults.worker_world import KEY, input_json

POLICY, ESCALATION = "derive_retrypolicy", "derive_escalationpolicy"
RECURRING, SCHEDULE = "derive_recurringinterrogation", "derive_systemschedule"


def at(page: str, *args: Any) -> str:
    return reverse(f"admin:{page}", args=args)


def policy_form(**values: Any) -> dict[str, Any]:
    form = {"name": "nightly", "enabled": "on", "cron": "0 2 * * *", "statuses": ["FAILED"], "min_age_minutes": 0}
    return {**form, "max_age_days": 30, "max_jobs": 500, "max_requeues": 3, **values}


def recurring_form(**values: Any) -> dict[str, Any]:
    form = {"name": "daily", "enabled": "on", "cron": "0 2 * * *", "interrogation_key": KEY, "input_json": input_json()}
    return {**form, "priority": 100, "max_attempts": 3, **values}


@pytest.fixture
def browse(browse_rolled_back: Browse) -> Browse:
    """Plans are Django's own rows; only what acts on jobs asks for more."""
    return browse_rolled_back


@pytest.fixture
def acting_operator(people: dict[str, User]) -> Client:
    """An operator in a test whose procedures are called."""
    return Browse(people)("operator")


def test_an_operator_plans_a_retry_and_its_next_time_follows(operator: Client, browse: Browse) -> None:
    form = policy_form(error_kinds=["model_not_found", "model_timeout"], interrogation_keys=[KEY])
    assert operator.post(at(f"{POLICY}_add"), form).status_code == 302
    policy = RetryPolicy.objects.get()
    assert (policy.statuses, policy.error_kinds) == ("FAILED", "model_not_found\nmodel_timeout")
    assert policy.interrogation_keys == KEY
    assert policy.changed_by == browse.people["operator"].username
    assert policy.next_utc is not None
    assert policy.next_utc > database_now()
    assert (policy.next_utc.hour, policy.next_utc.minute) == (2, 0)


BAD_POLICIES: list[tuple[dict[str, Any], str]] = [
    ({"cron": "0 0 30 2 *"}, "This never runs"),
    ({"cron": "* * * * * *"}, "a sixth would be seconds"),
    ({"cron": "sometimes"}, "Write five fields"),
    ({"statuses": ["SUCCEEDED"]}, "SUCCEEDED is not one of the available choices"),
    ({"statuses": []}, "This field is required"),
    ({"error_kinds": ["bad luck"]}, "bad luck is not one of the available choices"),
    ({"max_jobs": 5_001}, "from 1 to 5000"),
    ({"max_jobs": 0}, "from 1 to 5000"),
    ({"max_requeues": 0}, "from 1 to 1000"),
    ({"max_age_days": 0}, "from 1 to 3650"),
    ({"min_age_minutes": 60 * 24, "max_age_days": 1}, "no job could match"),
    ({"name": "two words"}, "valid “slug”"),
]


def test_a_policy_that_makes_no_sense_is_refused_with_what_to_write(operator: Client) -> None:
    for values, why in BAD_POLICIES:
        answer = operator.post(at(f"{POLICY}_add"), policy_form(**values))
        assert answer.status_code == 200, values
        assert why in answer.content.decode(), values
    assert not RetryPolicy.objects.exists()


def test_a_preview_says_when_and_how_many_and_saves_nothing(
    acting_operator: Client, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _job in range(3):
        job = in_state(queue, JobStatus.FAILED)
    text = acting_operator.post(at(f"{POLICY}_preview"), policy_form(max_jobs=2)).content.decode()
    assert "At 02:00" in text
    assert text.count("<time") == plans.TIMES_SHOWN
    assert "It would requeue 2 of 3 jobs that match now" in text
    monkeypatch.setattr("derive.schedules.retry_policies.COUNT_TO", 2)
    text = acting_operator.post(at(f"{POLICY}_preview"), policy_form()).content.decode()
    assert "of more than 2 jobs that match" in text
    monkeypatch.undo()
    queue.requeue([ref(job)], actor="schedule:nightly")
    queue.complete(failure(claim_one(queue)))
    says = "It would requeue 2 of 2 jobs that match now, oldest first. 1 reached the limit and will be left alone."
    form = policy_form(max_requeues=1)
    assert says in acting_operator.post(at(f"{POLICY}_preview"), form).content.decode()
    # A plan that is being changed has its name in no field.
    policy, form["name"] = a_policy(max_requeues=1), ""
    page = acting_operator.get(at(f"{POLICY}_change", policy.pk))
    assert says.partition(" 1 left")[0][:30] in page.content.decode()
    assert says in acting_operator.post(page.context["preview_url"], form).content.decode()
    policy.delete()
    text = acting_operator.post(at(f"{POLICY}_preview"), policy_form(cron="0 0 30 2 *")).content.decode()
    assert "This never runs" in text
    assert not RetryPolicy.objects.exists()
    assert Job.objects.filter(status="FAILED").count() == 3


def escalation_form(**values: Any) -> dict[str, Any]:
    form = {"name": "aged", "enabled": "on", "cron": "* * * * *", "interrogation_key": "", "waiting_seconds": 3_600}
    return {**form, "raise_by": 10, "max_priority": 200, **values}


def test_an_operator_plans_an_escalation(operator: Client) -> None:
    assert 'value="* * * * *"' in operator.get(at(f"{ESCALATION}_add")).content.decode()
    assert operator.post(at(f"{ESCALATION}_add"), escalation_form(interrogation_key=KEY)).status_code == 302
    policy = EscalationPolicy.objects.get()
    assert (policy.interrogation_key, policy.waiting_seconds, policy.raise_by) == (KEY, 3_600, 10)
    assert (policy.max_priority, policy.task, policy.actor) == (200, "escalation:aged", "schedule:aged")
    assert policy.next_utc is not None


BAD_ESCALATIONS: list[tuple[dict[str, Any], str]] = [
    ({"waiting_seconds": 59}, "from 60 to 31536000"),
    ({"waiting_seconds": 31_536_001}, "from 60 to 31536000"),
    ({"waiting_seconds": ""}, "This field is required"),
    ({"raise_by": 0}, "from 1 to"),
    ({"raise_by": 2**31}, "from 1 to"),
    ({"max_priority": 0}, "from 1 to"),
    ({"max_priority": -5}, "greater than or equal to 0"),
    ({"interrogation_key": "nobody's"}, "not one of the available choices"),
    ({"cron": "sometimes"}, "Write five fields"),
]


def test_an_escalation_that_makes_no_sense_is_refused_with_what_to_write(operator: Client) -> None:
    for values, why in BAD_ESCALATIONS:
        answer = operator.post(at(f"{ESCALATION}_add"), escalation_form(**values))
        assert answer.status_code == 200, values
        assert why in answer.content.decode(), values
    assert not EscalationPolicy.objects.exists()


def test_an_escalations_preview_says_how_many_it_would_raise(acting_operator: Client, queue: JobQueue) -> None:
    address = at(f"{ESCALATION}_preview")
    assert "nothing would be raised" in acting_operator.post(address, escalation_form()).content.decode()
    in_state(queue, JobStatus.NEW)
    pass_time(3_601)
    text = acting_operator.post(address, escalation_form()).content.decode()
    assert "It would raise 1 job by 10 now, to 200 at most." in text
    assert not EscalationPolicy.objects.exists()


def test_the_next_times_are_in_the_viewers_zone_with_utc_beside(operator: Client) -> None:
    operator.cookies["holocron_zone"] = "Asia/Tokyo"
    text = operator.post(at(f"{POLICY}_preview"), policy_form()).content.decode()
    assert "Next times (JST)" in text
    assert "02:00:00.000 UTC" in text
    assert " 11:00:00<" in text


def test_a_page_of_a_plan_shows_what_became_of_it_and_never_changes_its_name(operator: Client) -> None:
    policy = a_policy()
    TaskState.objects.create(name=policy.task, outcome="failed", told=HOSTILE, failures=3, ended_utc=database_now())
    text = operator.get(at(f"{POLICY}_change", policy.pk)).content.decode()
    assert "3 times in a row" in text
    assert "<script>alert" not in text
    operator.post(at(f"{POLICY}_change", policy.pk), policy_form(name="other", max_jobs=7))
    policy.refresh_from_db()
    assert (policy.name, policy.max_jobs) == ("nightly", 7)


def test_a_changed_cap_leaves_what_is_due_due_but_a_changed_time_moves_it(operator: Client) -> None:
    policy = a_policy()
    due_utc = policy.next_utc
    assert due_utc is not None
    operator.post(at(f"{POLICY}_change", policy.pk), policy_form(max_jobs=7, statuses=["FAILED", "DEADLETTER"]))
    policy.refresh_from_db()
    assert policy.next_utc == due_utc
    operator.post(at(f"{POLICY}_change", policy.pk), policy_form(cron="0 3 * * *"))
    policy.refresh_from_db()
    assert policy.next_utc is not None
    assert policy.next_utc > database_now()


def test_a_plan_can_be_made_due_now_and_deleted_with_its_state(operator: Client) -> None:
    policy = a_policy(due_minutes_ago=-60)
    TaskState.objects.create(name=policy.task, failures=4)
    operator.post(at(f"{POLICY}_changelist"), {"action": "run_soon", "_selected_action": [policy.pk]})
    policy.refresh_from_db()
    assert policy.next_utc is not None
    assert policy.next_utc <= database_now()
    assert TaskState.objects.get(name=policy.task).failures == 0
    operator.post(at(f"{POLICY}_delete", policy.pk), {"post": "yes"})
    assert not RetryPolicy.objects.exists()
    assert not TaskState.objects.filter(name=policy.task).exists()


def test_a_recurring_interrogation_is_checked_by_its_interrogation_before_it_is_kept(operator: Client) -> None:
    answer = operator.post(at(f"{RECURRING}_add"), recurring_form(input_json='{"entity_id": 7}'))
    assert "nothing was queued" in answer.content.decode()
    assert not RecurringInterrogation.objects.exists()
    assert operator.post(at(f"{RECURRING}_add"), recurring_form()).status_code == 302
    assert RecurringInterrogation.objects.get().input_json == input_json()


BAD_RECURRING: list[tuple[dict[str, Any], str]] = [
    ({"interrogation_key": "gone_v1"}, "not one of the available choices"),
    ({"interrogation_key": "", "input_json": ""}, "Choose an interrogation"),
    ({"lake_path": "asks/one.jsonl"}, "not both"),
    ({"interrogation_key": "", "input_json": "", "lake_path": "../../etc/passwd"}, "lake"),
    ({"input_json": "{"}, "input_json"),
    ({"max_attempts": 0}, "from 1 to 1000"),
    ({"priority": 2**31}, "2147483647"),
]


def test_a_recurring_interrogation_that_could_not_be_queued_is_refused(operator: Client) -> None:
    for values, why in BAD_RECURRING:
        answer = operator.post(at(f"{RECURRING}_add"), recurring_form(**values))
        assert answer.status_code == 200, values
        assert why in answer.content.decode(), values
    assert not RecurringInterrogation.objects.exists()


def test_one_whose_interrogation_is_gone_can_be_looked_at_switched_off_and_says_so(operator: Client) -> None:
    plan = a_recurring(interrogation_key="gone_v1")
    page = operator.get(at(f"{RECURRING}_change", plan.pk)).content.decode()
    assert "there is no interrogation" in page
    form = recurring_form(interrogation_key="gone_v1")
    assert operator.post(at(f"{RECURRING}_change", plan.pk), form).status_code == 200
    del form["enabled"]
    assert operator.post(at(f"{RECURRING}_change", plan.pk), form).status_code == 302


def test_the_page_of_a_long_file_tells_of_its_beginning_and_says_so(
    operator: Client, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.LAKE_URL = str(tmp_path)
    monkeypatch.setattr(recurring, "HEAD_BYTES", 2048)
    monkeypatch.setattr(plans, "HEAD_BYTES", 2048)
    line = json.dumps({"interrogation_key": KEY, "input": json.loads(input_json())}) + "\n"
    (tmp_path / "long.jsonl").write_text(line * 2_048)
    (tmp_path / "short.jsonl").write_text(line * 3)
    plan = a_recurring(interrogation_key="", input_json="", lake_path="long.jsonl")
    page = operator.get(at(f"{RECURRING}_change", plan.pk)).content.decode()
    assert f"first {2048 // len(line)} jobs of the file would be accepted" in page
    assert "checked when it runs" in page
    RecurringInterrogation.objects.filter(pk=plan.pk).update(lake_path="short.jsonl")
    assert "It would queue 3 jobs each time" in operator.get(at(f"{RECURRING}_change", plan.pk)).content.decode()


def test_who_may_not_see_payloads_sees_a_plan_without_its_template(browse: Browse) -> None:
    plan = a_recurring()
    viewer = browse("viewer").get(at(f"{RECURRING}_change", plan.pk)).content.decode()
    assert "Tala" not in viewer
    assert "30 s" not in viewer
    assert "Tala" in browse("operator").get(at(f"{RECURRING}_change", plan.pk)).content.decode()


def test_a_maintainer_says_how_long_jobs_are_kept_and_sees_how_many_would_go(browse: Browse) -> None:
    client = browse("maintainer")
    form = {"name": "yearly", "enabled": "on", "cron": "0 4 * * *", "max_jobs": 10_000}
    nothing = client.post(at("derive_retentionpolicy_add"), form).content.decode()
    assert "for at least one state" in nothing
    too_soon = client.post(at("derive_retentionpolicy_add"), {**form, "failed_days": 0}).content.decode()
    assert "from 1 to 3650" in too_soon
    preview = client.post(at("derive_retentionpolicy_preview"), {**form, "failed_days": 90}).content.decode()
    assert "nothing would be purged" in preview
    assert client.post(at("derive_retentionpolicy_add"), {**form, "failed_days": 90}).status_code == 302
    policy = RetentionPolicy.objects.get()
    assert (policy.failed_days, policy.succeeded_days) == (90, None)


def test_the_page_of_what_runs_by_itself_is_red_while_something_is_wrong(operator: Client) -> None:
    a_policy(due_minutes_ago=600)
    now = database_now()
    told = {"run_by": "h:1", "started_utc": now, "ended_utc": now, "told": HOSTILE}
    ScheduleRun.objects.create(task="retry:nightly", outcome="failed", **told)
    ScheduleRun.objects.create(task="reap", outcome="done", **told)
    page = operator.get(at("derive_schedulerun_changelist"))
    text = page.content.decode()
    assert "no scheduler has ever run: start manage.py qcluster" in text
    assert "retry:nightly is overdue by 10 h" in text
    assert "<script>alert" not in text
    assert len(page.context["runs"]) == 2
    only = operator.get(at("derive_schedulerun_changelist"), {"task": "retry:nightly"})
    assert [(run.task, title) for run, title in only.context["runs"]] == [("retry:nightly", "Retry policy nightly")]


def test_a_maintainer_chooses_among_the_system_tasks_and_nothing_else(
    browse: Browse, caplog: pytest.LogCaptureFixture
) -> None:
    client = browse("maintainer")
    form = {"name": "twice", "func": "os.system", "cron": "0 5 * * *", "enabled": "on", "args": "'true'"}
    answer = client.post(at(f"{SCHEDULE}_add"), form)
    assert "os.system is not one of the available choices" in answer.content.decode()
    with caplog.at_level(logging.INFO, "derive.admin.schedules.system_tasks"):
        client.post(at(f"{SCHEDULE}_add"), {**form, "func": SYSTEM_TASKS["tidy"].func, "hook": "os.abort"})
    made = Schedule.objects.get(name="twice")
    assert (made.func, made.args, made.hook, made.repeats) == (SYSTEM_TASKS["tidy"].func, None, None, -1)
    assert made.next_run > database_now() - timedelta(seconds=1)
    assert [one.message for one in caplog.records] == ["schedule.saved"]
    client.post(at(f"{SCHEDULE}_change", made.pk), {**form, "func": SYSTEM_TASKS["tidy"].func, "enabled": ""})
    made.refresh_from_db()
    assert made.repeats == 0
    answer = client.post(
        at(f"{SCHEDULE}_change", made.pk), {**form, "func": SYSTEM_TASKS["tidy"].func, "cron": "* * * * * *"}
    )
    assert "a sixth would be seconds" in answer.content.decode()


def test_who_may_not_edit_schedules_is_refused_and_that_is_written_down(
    operator: Client, browse: Browse, caplog: pytest.LogCaptureFixture
) -> None:
    schedule = Schedule.objects.create(name="s", func=SYSTEM_TASKS["tidy"].func, cron="0 5 * * *", schedule_type="C")
    with caplog.at_level(logging.WARNING, "derive.admin.site.denied"):
        answer = operator.post(at(f"{SCHEDULE}_change", schedule.pk), {"func": "os.system", "cron": "* * * * *"})
    assert answer.status_code == 403
    schedule.refresh_from_db()
    assert (schedule.func, schedule.cron) == (SYSTEM_TASKS["tidy"].func, "0 5 * * *")
    (line,) = [one.__dict__ for one in caplog.records if one.message == "access.denied"]
    assert line["actor"] == browse.people["operator"].username
    assert line["path"] == at(f"{SCHEDULE}_change", schedule.pk)


def test_selected_jobs_can_be_retried_at_a_time(acting_operator: Client, queue: JobQueue) -> None:
    job = in_state(queue, JobStatus.FAILED)
    form = {"action": "retry_at", "job": f"{job.job_id}~FAILED", "reason": "tonight", "value": "2199-01-31T12:00"}
    asked = acting_operator.post(at("derive_job_act"), form)
    assert "Ready from (" in asked.content.decode()
    acting_operator.post(at("derive_job_act_run"), form)
    after = job_of(job.job_id)
    assert (after.status, after.available_utc.year) == ("SCHEDULED", 2199)


def test_an_empty_list_of_plans_offers_one_to_those_who_may_plan(browse: Browse) -> None:
    page = reverse("admin:derive_retrypolicy_changelist")
    for who, is_offered in (("operator", True), ("viewer", False)):
        html = browse(who).get(page).content.decode()
        assert "There are no retry policies yet" in html
        assert ("Add a retry policy" in html) is is_offered
        assert "Show all" not in html
