"""Golden cases and experiments in the admin: who sees what, and what is shown before and after the end."""

import json
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.urls import reverse

from derive.contracts import Outcome, RunFacts
from derive.deadline import NO_DEADLINE
from derive.experiments.opening import find_experiment, job_id_of, queue_jobs
from derive.models import Experiment, Job
from derive.queue import JobQueue
from derive.schedules.experiments import go_on
from derive.states import RunStatus
from tests.admin.conftest import HOSTILE, Browse
from tests.admin.evaluation_scene import KEY, SECRET, a_case, an_experiment
from tests.contract.scenes import ACTOR, ref


def end_all(queue: JobQueue, experiment: Experiment) -> None:
    queue_jobs(experiment, actor=ACTOR)
    queue.cancel([ref(job) for job in Job.objects.filter(batch_id=experiment.batch_id)], actor=ACTOR, reason="ended")


def shown(browse: Browse, who: str, model: str, key: UUID | None = None) -> str:
    address = f"admin:derive_{model}_change" if key else f"admin:derive_{model}_changelist"
    answer = browse(who).get(reverse(address, args=[key] if key else []))
    assert answer.status_code == 200
    assert "<script>alert(1)" not in answer.text
    assert "\u202e" not in answer.text
    return " ".join(answer.text.split())


def test_a_list_shows_the_cases_and_how_many_facts_each_expects(browse: Browse, queue: JobQueue) -> None:
    assert "golden_cases import" in shown(browse, "viewer", "goldencase")
    case = a_case(queue, case_key=HOSTILE)
    text = shown(browse, "viewer", "goldencase")
    assert reverse("admin:derive_goldencase_change", args=[case.case_id]) in text
    assert 'data-label="Expected facts" class="hc-num">1<' in text


def test_only_who_may_see_payloads_sees_what_a_case_holds(browse: Browse, queue: JobQueue) -> None:
    case = a_case(queue)
    viewer, operator = (shown(browse, who, "goldencase", case.case_id) for who in ("viewer", "operator"))
    assert SECRET not in viewer
    assert "172 cm" not in viewer
    assert SECRET in operator
    assert "172 cm" in operator


def test_an_unfinished_experiment_shows_its_progress_and_no_result(browse: Browse, queue: JobQueue) -> None:
    experiment = an_experiment(queue, reason=HOSTILE)
    queue_jobs(experiment, actor=ACTOR)
    assert 'data-label="State">running<' in shown(browse, "viewer", "experiment")
    text = shown(browse, "viewer", "experiment", experiment.experiment_id)
    assert "0 of 2 jobs have ended" in text
    assert "There is no result yet" in text


def test_a_page_reads_only_and_updates_itself_until_the_scheduler_has_scored(browse: Browse, queue: JobQueue) -> None:
    experiment = an_experiment(queue)
    end_all(queue, experiment)
    text = shown(browse, "viewer", "experiment", experiment.experiment_id)
    assert "Every job has ended. The scheduler scores the experiment within a minute" in text
    assert find_experiment(experiment.experiment_id).scored_utc is None
    live, viewer = reverse("admin:derive_experiment_live", args=[experiment.experiment_id]), browse("viewer")
    assert live in text
    answer = viewer.get(live)
    assert "2 of 2 jobs have ended" in " ".join(answer.text.split())
    assert viewer.get(live, headers={"If-None-Match": answer["ETag"]}).status_code == 304
    go_on(NO_DEADLINE)
    assert viewer.get(live, headers={"If-None-Match": answer["ETag"]})["X-Live"] == "over"
    assert live not in shown(browse, "viewer", "experiment", experiment.experiment_id)


def test_an_experiment_that_has_ended_shows_scores_and_gates(browse: Browse, queue: JobQueue) -> None:
    experiment = an_experiment(queue)
    end_all(queue, experiment)
    go_on(NO_DEADLINE)
    text = shown(browse, "viewer", "experiment", experiment.experiment_id)
    assert "1 of 1 cases are scored" in text
    assert '100.0 % <small class="hc-muted">100.0 to 100.0<' in text
    assert "2 of 2 jobs gave no answer" in text
    assert 'hc-state-failed">failed<' in text
    assert 'data-label="State">failed<' in shown(browse, "viewer", "experiment")


@pytest.mark.parametrize("are_purged", [False, True])
def test_the_cases_that_differ_lead_to_both_jobs_unless_they_are_purged(
    browse: Browse, queue: JobQueue, are_purged: bool
) -> None:
    experiment = an_experiment(queue)
    if not are_purged:
        queue_jobs(experiment, actor=ACTOR)
    score = {"value": 0.5, "low": 0.25, "high": 0.75}
    scores = dict.fromkeys(("f1", "precision", "recall", "refusals", "tokens", "seconds"), score)
    one = {"interrogation_key": KEY, "version": "1", "by_key": {HOSTILE: scores}, "stability": None, **scores}
    worse = [{"case_no": 0, "case": HOSTILE, "f1": -0.5}]
    against = {"f1": score, "better": 0, "worse": 1, "same": 0, "better_cases": [], "worse_cases": worse}
    variants = [
        {**one, "name": "live", "is_live": True, "against_live": None},
        {**one, "name": HOSTILE, "is_live": False, "against_live": against},
    ]
    gates = [{"variant": HOSTILE, "gate": "f1>=live", "passed": False, "why": HOSTILE}]
    result = {"scored": 1, "cases": 1, "variants": variants, "gates": gates, "passed": False}
    queue.record_experiment(experiment.experiment_id, result, is_passed=False)
    text = shown(browse, "viewer", "experiment", experiment.experiment_id)
    assert "Worse than live" in text
    assert side_by_side(experiment) not in text
    assert side_by_side(experiment) in shown(browse, "operator", "experiment", experiment.experiment_id)
    assert "-50.0 %" in text
    assert 'hc-state-failed">failed<' in text
    assert text.count(">purged<") == (2 if are_purged else 0)
    for n in range(2):
        job = reverse("admin:derive_job_change", args=[job_id_of(experiment.experiment_id, n, 0, 0)])
        assert (job in text) is not are_purged


def answered(queue: JobQueue, facts: list[dict[str, Any]]) -> None:
    (claim,) = queue.claim("worker-1")
    run = RunFacts(output_json=json.dumps({"facts": facts}))
    outcome = Outcome(job_id=claim.job_id, run_id=claim.run_id, status=RunStatus.SUCCEEDED, run=run)
    assert queue.complete(outcome).accepted


def side_by_side(experiment: Experiment, case_no: int = 0, variant: int = 1) -> str:
    return reverse("admin:derive_experiment_case", args=[experiment.experiment_id, case_no, variant])


def test_both_answers_to_a_case_stand_side_by_side_with_what_is_missing_wrong_and_extra(
    browse: Browse, queue: JobQueue
) -> None:
    expected = [{"key": "height", "value": "172 cm"}, {"key": "home", "value": "Tatooine"}]
    experiment = an_experiment(queue, expected_json=json.dumps({"facts": expected}))
    queue_jobs(experiment, actor=ACTOR)
    fact: dict[str, Any] = {"evidence_ids": ["e1"], "quote": SECRET}
    answered(queue, [{"fact_key": "height", "value": "1.72 m", **fact}])
    answered(queue, [{"fact_key": "height", "value": "180 cm", **fact}, {"fact_key": "eyes", "value": HOSTILE, **fact}])
    answer = browse("operator").get(side_by_side(experiment))
    assert [(row["key"], row["expected"], row["sides"]) for row in answer.context["rows"][:2]] == [
        ("height", ["172 cm"], [[("1.72 m", "right")], [("180 cm", "wrong"), ("172 cm", "missing")]]),
        ("home", ["Tatooine"], [[("Tatooine", "missing")], [("Tatooine", "missing")]]),
    ]
    assert [mark for _text, mark in answer.context["rows"][2]["sides"][1]] == ["extra"]
    assert "<script>alert(1)" not in answer.text
    for job in Job.objects.all():
        assert reverse("admin:derive_job_change", args=[job.job_id]) in answer.text
    assert browse("viewer").get(side_by_side(experiment)).status_code == 403


def test_an_answer_that_is_not_there_says_why(browse: Browse, queue: JobQueue) -> None:
    experiment = an_experiment(queue)
    operator = browse("operator")
    assert operator.get(side_by_side(experiment)).text.count("The job was purged, or is not queued yet.") == 2
    queue_jobs(experiment, actor=ACTOR)
    assert operator.get(side_by_side(experiment)).text.count("The job has not ended yet.") == 2
    end_all(queue, experiment)
    answer = operator.get(side_by_side(experiment))
    assert answer.text.count("The job was cancelled.") == 2
    assert [row["sides"] for row in answer.context["rows"]] == [[[], []]]
    for wrong in (side_by_side(experiment, 1), side_by_side(experiment, 0, 2), f"{side_by_side(experiment)}?repeat=2"):
        assert operator.get(wrong).status_code == 404


@pytest.mark.parametrize("model", ["goldencase", "experiment"])
def test_what_is_not_there_is_not_found_and_strangers_see_nothing(browse: Browse, model: str) -> None:
    for key in (uuid4(), "no-id"):
        assert browse("viewer").get(f"/admin/derive/{model}/{key}/change/").status_code == 404
    assert browse("nobody").get(reverse(f"admin:derive_{model}_changelist")).status_code in {302, 403}
