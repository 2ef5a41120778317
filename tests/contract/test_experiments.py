"""Experiments in the queue: their own copy of the cases, one result each, and who ends them."""

from datetime import timedelta

import pytest

from derive.deadline import NO_DEADLINE
from derive.experiments.opening import find_experiment, queue_jobs
from derive.experiments.progress import progress_of
from derive.models import Batch, Experiment, Job
from derive.queue import JobQueue
from derive.schedules import experiments
from derive.schedules.experiments import INTERRUPTED_AFTER_SECONDS, go_on
from derive.schedules.single_flight import TaskOutcome, TaskResult
from derive.sql.clock import database_now
from derive.states import JobStatus
from tests.admin.evaluation_scene import an_experiment
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
