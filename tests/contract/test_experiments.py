"""Experiments in the queue: their own copy of the cases, one result each, and who ends them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from uuid import uuid4

import pytest
from django.db import connection

from derive.deadline import NO_DEADLINE
from derive.experiments.opening import cases_of, find_experiment, queue_jobs
from derive.experiments.progress import progress_of
from derive.experiments.result import kept_result
from derive.models import Batch, Experiment, Job
from derive.queue import JobQueue
from derive.schedules import experiments
from derive.schedules.experiments import INTERRUPTED_AFTER_SECONDS, go_on
from derive.schedules.single_flight import TaskOutcome, TaskResult
from derive.sql.clock import database_now
from derive.states import JobStatus
from tests.admin.evaluation_scene import a_case, an_experiment
from tests.contract.scenes import ACTOR, ref

IDLE = TaskResult(TaskOutcome.IDLE)


def cancel_all(queue: JobQueue, experiment: Experiment) -> None:
    queue.cancel([ref(job) for job in Job.objects.filter(batch_id=experiment.batch_id)], actor=ACTOR, reason="ended")


def test_the_scheduler_scores_an_experiment_once_every_job_has_ended(queue: JobQueue) -> None:
    experiment = an_experiment(queue, gates=())
    queue_jobs(experiment, actor=ACTOR)
    assert go_on(NO_DEADLINE) == IDLE
    cancel_all(queue, experiment)
    assert go_on(NO_DEADLINE) == TaskResult(TaskOutcome.DONE, "heights: scored, failed")
    assert find_experiment(experiment.experiment_id).scored_utc is not None
    assert go_on(NO_DEADLINE) == IDLE


def test_answers_that_were_cancelled_or_purged_pass_no_gate(queue: JobQueue) -> None:
    experiment = an_experiment(queue)
    queue_jobs(experiment, actor=ACTOR)
    cancel_all(queue, experiment)
    soon = database_now() + timedelta(hours=1)
    queue.purge(finished_before_utc=soon, statuses=[JobStatus.CANCELLED], actor=ACTOR, max_rows=1)
    go_on(NO_DEADLINE)
    scored = find_experiment(experiment.experiment_id)
    # The variant is as good as live, which said nothing either.
    assert scored.is_passed is False
    assert '"why": "2 of 2 jobs gave no answer' in (scored.result_json or "")


def test_what_an_interruption_left_out_is_queued_after_ten_minutes(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    experiment = an_experiment(queue)
    queue_jobs(experiment, actor=ACTOR, priority=7, stop_asked=lambda: True)
    Batch.objects.get(filled_utc=None)
    assert go_on(NO_DEADLINE) == IDLE, "somebody may be at it"
    assert not progress_of(experiment).is_done
    later = database_now() + timedelta(seconds=INTERRUPTED_AFTER_SECONDS + 1)
    monkeypatch.setattr(experiments, "database_now", lambda: later)
    assert go_on(NO_DEADLINE).text == "heights: 0 jobs queued"
    assert progress_of(experiment).is_filled
    assert set(Job.objects.values_list("priority", flat=True)) == {7}


def test_a_cancelled_experiment_gets_no_more_jobs(queue: JobQueue) -> None:
    experiment = an_experiment(queue)
    queue.close_batch(experiment.batch_id, actor=ACTOR, reason="a mistake")
    assert queue_jobs(experiment, actor=ACTOR) == 0
    go_on(NO_DEADLINE)
    assert find_experiment(experiment.experiment_id).is_passed is False


def test_an_experiment_copies_the_set_as_it_is_and_is_opened_once(queue: JobQueue) -> None:
    experiment = an_experiment(queue)
    a_case(queue, case_key="han")
    again = queue.open_experiment(
        experiment.experiment_id,
        set_name="heights",
        batch_id=uuid4(),
        variants=[],
        gates=[],
        actor="somebody else",
        repeats=9,
    )
    assert again == 1, "the case that came later is not of it"
    kept = find_experiment(experiment.experiment_id)
    assert (kept.batch_id, kept.created_by, kept.repeats) == (experiment.batch_id, ACTOR, 1)
    assert [case.case_key for case in cases_of(experiment.experiment_id)] == ["luke"]


def test_a_set_without_cases_makes_no_experiment(queue: JobQueue) -> None:
    experiment_id = uuid4()
    opened = queue.open_experiment(
        experiment_id, set_name="nothing", batch_id=uuid4(), variants=[], gates=[], actor=ACTOR
    )
    assert opened == 0
    assert not Experiment.objects.filter(experiment_id=experiment_id).exists()


def test_of_two_that_record_a_result_the_first_one_stays(queue: JobQueue) -> None:
    experiment = an_experiment(queue)
    together = Barrier(2)

    def record(is_passed: bool) -> bool:
        try:
            together.wait(timeout=30)
            return JobQueue().record_experiment(experiment.experiment_id, {"passed": is_passed}, is_passed=is_passed)
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as recorders:
        recorded = dict(zip((True, False), recorders.map(record, (True, False)), strict=True))
    assert sorted(recorded.values()) == [False, True]
    kept = find_experiment(experiment.experiment_id)
    assert recorded[bool(kept.is_passed)], "what is kept is what was answered as recorded"
    assert kept_result(kept) == {"passed": kept.is_passed}
    assert not queue.record_experiment(uuid4(), {}, is_passed=True), "there is no such experiment"
