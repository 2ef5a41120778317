"""From a failure to its fix: what it means, the actions that suit it, and the form filled with the job."""

import json
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from derive.admin.jobs.bulk.actions import ACTIONS
from derive.admin.jobs.fixes import FIXES, quick_actions
from derive.errors import ErrorKind
from derive.model_servers.settings import ModelSettings
from derive.models import Job
from derive.queue import JobQueue
from derive.states import JobStatus
from tests.admin.conftest import HOSTILE, Browse
from tests.contract.scenes import claim_one, failure, in_state, queued

ENQUEUE, LIST = "admin:derive_job_act_enqueue", "admin:derive_job_changelist"
EVIDENCE = [{"evidence_id": "a", "source_uri": "inline:1", "text": "Luke grew up\non Tatooine."}, {"text": HOSTILE}]


@pytest.fixture(autouse=True)
def _no_ollama(settings: Settings) -> None:
    settings.OLLAMA = ModelSettings(base_url="http://127.0.0.1:1", num_ctx=8192)
    cache.clear()


def failed(queue: JobQueue, kind: ErrorKind = ErrorKind.INVALID_INPUT, **values: Any) -> Any:
    job = queued(queue, **values)
    queue.complete(failure(claim_one(queue), error_kind=kind))
    return job


def sent(page: Any, **changes: Any) -> dict[str, Any]:
    """What a browser would send of the form as it was filled."""
    form, evidence = page.context["form"], page.context["evidence"]
    values = {f"input.{name}": form.input[name].value() or "" for name in form.input.fields}
    values |= {name: form.settings[name].value() or "" for name in form.settings.fields}
    values |= {"evidence-TOTAL_FORMS": len(evidence.forms), "evidence-INITIAL_FORMS": 0}
    for place, one in enumerate(evidence.forms):
        values |= {f"evidence-{place}-{name}": one[name].value() or "" for name in one.fields}
    return {
        **values,
        "interrogation": form.interrogation.key,
        "form_id": str(form.form_id),
        "step": "enqueue",
        **changes,
    }


def test_a_job_that_failed_on_its_input_is_edited_and_resubmitted(operator: Client, queue: JobQueue) -> None:
    given = {"entity_type": "character", "extra_params": {"evidence": EVIDENCE}}
    job = failed(
        queue,
        input_json=json.dumps(given),
        priority=7,
        max_attempts=2,
        model_hint="tiny",
        dedupe_key="k",
        entity_id=None,
    )
    page = operator.get(reverse("admin:derive_job_change", args=[job.job_id])).text
    assert f'?from={job.job_id}">Edit and resubmit …' in page
    assert FIXES[ErrorKind.INVALID_INPUT].fix in page
    form = operator.get(reverse(ENQUEUE), {"from": str(job.job_id)})
    assert form.status_code == 200
    assert "<script>alert" not in form.text
    answer = operator.post(reverse(ENQUEUE), sent(form, **{"input.entity_id": "luke"}))
    assert answer.status_code == 302, answer.context["problems"]
    new = Job.objects.exclude(job_id=job.job_id).get()
    assert (new.priority, new.max_attempts, new.model_hint, new.dedupe_key) == (7, 2, "tiny", "k")
    written = json.loads(new.input_json)
    assert (written["entity_type"], written["entity_id"]) == ("character", "luke")
    assert [one["text"] for one in written["extra_params"]["evidence"]] == [one["text"] for one in EVIDENCE]
    assert Job.objects.get(job_id=job.job_id).status == "FAILED"


def test_a_duplicate_leaves_a_key_that_is_held_to_its_job(operator: Client, queue: JobQueue) -> None:
    job = queued(queue, dedupe_key="k")
    assert "Duplicate to Enqueue" in operator.get(reverse("admin:derive_job_change", args=[job.job_id])).text
    form = operator.get(reverse(ENQUEUE), {"from": str(job.job_id)})
    assert form.context["form"].settings["dedupe_key"].value() == ""


@pytest.mark.parametrize(
    "input_json",
    [
        "{}",
        '{"entity_type": ["a"], "entity_id": {"b": 1}, "extra_params": {"evidence": [1, null, "t"]}}',
        '{"extra_params": {"evidence": {"a": 1}, "more": [1]}}',
        '{"extra_params": "none"}',
    ],
)
def test_whatever_an_input_holds_the_form_is_shown(operator: Client, queue: JobQueue, input_json: str) -> None:
    job = queued(queue, input_json=input_json, evidence_ref_json='{"items": [{"lake_uri": "x"}]}')
    form = operator.get(reverse(ENQUEUE), {"from": str(job.job_id)})
    assert form.status_code == 200
    assert "lake_uri" in form.context["form"].settings["evidence_ref_json"].value()


def test_a_job_of_an_interrogation_that_is_not_here_says_so(operator: Client, queue: JobQueue) -> None:
    job = failed(queue, ErrorKind.UNKNOWN_INTERROGATION, interrogation_key="gone_v1")
    assert "gone_v1 is not installed here" in operator.get(reverse(ENQUEUE), {"from": str(job.job_id)}).text


def test_who_may_not_see_payloads_copies_none(browse: Browse, queue: JobQueue) -> None:
    job = failed(queue)
    assert browse("viewer").get(reverse(ENQUEUE), {"from": str(job.job_id)}).status_code == 403
    assert "?from=" not in browse("viewer").get(reverse("admin:derive_job_change", args=[job.job_id])).text
    for unknown in (str(uuid4()), "x", ""):
        assert browse("operator").get(reverse(ENQUEUE), {"from": unknown}).status_code == 404


def test_each_kind_of_error_has_a_fix_whose_actions_there_are() -> None:
    assert set(FIXES) == set(ErrorKind)
    assert {name for fix in FIXES.values() for name in fix.actions} <= set(ACTIONS)


@pytest.mark.parametrize(
    ("status", "error_kind", "actions"),
    [
        ("FAILED", "", ("requeue",)),
        ("DEADLETTER", "model_crashed", ("requeue", "model")),
        ("DEADLETTER", "invalid_output", ("model", "requeue")),
        ("FAILED", "invalid_input", ()),
        ("SUCCEEDED", "", ()),
        ("NEW", "model_crashed", ()),
        ("", "", ()),
        ("", "nonsense", ()),
    ],
)
def test_a_list_offers_what_suits_all_of_it(status: str, error_kind: str, actions: tuple[str, ...]) -> None:
    assert quick_actions(status=status, error_kind=error_kind) == actions


def test_a_lists_actions_keep_its_filter_and_are_for_those_who_may_act(browse: Browse, queue: JobQueue) -> None:
    in_state(queue, JobStatus.DEADLETTER)
    failed(queue)
    query = {"status": "DEADLETTER", "error_kind": "model_crashed"}
    page = browse("operator").get(reverse(LIST), query).text
    assert FIXES[ErrorKind.MODEL_CRASHED].cause in page
    asked = browse("operator").post(
        reverse("admin:derive_job_act"),
        {"action": "requeue", "scope": "matching", "filter": "status=DEADLETTER&error_kind=model_crashed"},
    )
    assert asked.context["count"] == 1
    viewers = browse("viewer").get(reverse(LIST), query).text
    assert FIXES[ErrorKind.MODEL_CRASHED].cause in viewers
    assert "all that match …" not in viewers
