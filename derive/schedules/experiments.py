"""Scores experiments that have ended, and queues what an interruption left out of one."""

from datetime import timedelta
from functools import partial

from derive.deadline import Deadline
from derive.errors import HolocronError
from derive.experiments.opening import PRIORITY, is_filled, queue_jobs
from derive.experiments.progress import progress_of
from derive.experiments.result import result_of
from derive.models import Experiment, Job
from derive.schedules.single_flight import TaskOutcome, TaskResult
from derive.sql.clock import database_now
from derive.sql.reading import reading

ACTOR = "schedule"
INTERRUPTED_AFTER_SECONDS = 600
"""So long after an experiment was opened nobody is queueing its jobs any more."""


def go_on(deadline: Deadline) -> TaskResult:
    """Score what has ended and queue what is missing; one experiment that fails stops no other."""
    told: list[str] = []
    is_failed = False
    query = Experiment.objects.filter(scored_utc__isnull=True).order_by("experiment_seq")
    unscored: list[Experiment] = reading(partial(list, query))
    for experiment in unscored:
        if deadline.is_over:
            break
        try:
            told += _go_on(experiment, deadline)
        except HolocronError as error:
            is_failed = True
            told.append(f"{experiment.set_name}: {error}")
    if not told:
        return TaskResult(TaskOutcome.IDLE)
    return TaskResult(TaskOutcome.FAILED if is_failed else TaskOutcome.DONE, "; ".join(told))


def _go_on(experiment: Experiment, deadline: Deadline) -> list[str]:
    told = []
    is_abandoned = experiment.created_utc < database_now() - timedelta(seconds=INTERRUPTED_AFTER_SECONDS)
    if is_abandoned and not is_filled(experiment):
        known = Job.objects.filter(batch_id=experiment.batch_id).values_list("priority", flat=True)
        priority = reading(known.first)
        queued = queue_jobs(
            experiment,
            actor=ACTOR,
            priority=PRIORITY if priority is None else priority,
            stop_asked=lambda: deadline.is_over,
        )
        told.append(f"{experiment.set_name}: {queued} jobs queued")
    if progress_of(experiment).is_done:
        verdict = "passed" if result_of(experiment)["passed"] else "failed"
        told.append(f"{experiment.set_name}: scored, {verdict}")
    return told
