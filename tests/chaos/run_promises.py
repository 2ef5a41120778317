"""What every run's row must tell: who held the job when, who ended the run, and whether it counted."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from uuid import UUID

from derive.errors import ErrorKind
from derive.states import JobStatus, RunStatus
from tests.chaos.history import EventRow, History, RunRow
from tests.chaos.promises import Broken
from tests.chaos.spans import Span, seconds_outside

REAPED_WITHIN_SECONDS = 5.0
"""After a lease's end, of time in which somebody could reap: what recovery may take."""
UNCOUNTED = frozenset(
    kind.value
    for kind in (
        ErrorKind.MODEL_UNAVAILABLE,
        ErrorKind.MODEL_OVERLOADED,
        ErrorKind.LAKE_UNAVAILABLE,
        ErrorKind.RELEASED,
        ErrorKind.CANCELLED,
    )
)
ENDS_BY_COMPLETION = frozenset({"completed", "retried", "dead_lettered", "cancelled"})


def no_job_has_two_succeeded_runs(history: History) -> Broken:
    for job in history.jobs.values():
        successes = [run for run in history.runs_of.get(job.job_id, []) if run.status == RunStatus.SUCCEEDED]
        if len(successes) != (job.status == JobStatus.SUCCEEDED):
            yield job.job_id, f"job {job.job_id} is {job.status} with {len(successes)} SUCCEEDED runs"


def every_run_was_ended_by_its_own_lease_or_a_reaper(history: History) -> Broken:
    """The one that ended a run held its lease: the run named is the one last claimed, and the actor its worker."""
    for job_id, events in history.events_of.items():
        holding: UUID | None = None
        ended: Counter[UUID] = Counter()
        for event in events:
            if event.event == "claimed":
                holding = event.run_id
            elif event.from_status == JobStatus.RUNNING and event.event != "cancel_requested":
                yield from _wrong_end(history, event, holding)
                if event.to_status != JobStatus.RUNNING and event.run_id is not None:
                    ended[event.run_id] += 1
        claimed = [event.run_id for event in events if event.event == "claimed"]
        runs = [run.run_id for run in history.runs_of.get(job_id, [])]
        if claimed != runs:
            yield job_id, f"the claims of job {job_id} are {_ids(claimed)}, and its runs {_ids(runs)}"
        for run_id, times in ended.items():
            if times > 1:
                yield job_id, f"run {run_id} was ended {times} times"


def _wrong_end(history: History, event: EventRow, holding: UUID | None) -> Broken:
    run = history.runs.get(event.run_id) if event.run_id else None
    if run is None or event.run_id != holding:
        yield event.job_id, f"{event.event} named run {event.run_id}, and the lease was that of run {holding}"
    elif run.error_kind == ErrorKind.LEASE_EXPIRED:
        is_early = run.completed_utc is None or run.completed_utc < run.lease_until_utc
        if is_early and event.event == "lease_expired":
            yield event.job_id, f"run {run.run_id} was reaped before its lease was over"
    elif event.event in ENDS_BY_COMPLETION | {"released"} and event.actor != run.worker_id:
        yield event.job_id, f"run {run.run_id} of {run.worker_id} was ended ({event.event}) by {event.actor}"


def no_two_runs_of_a_job_overlapped_in_granted_lease_time(history: History) -> Broken:
    """A lease is granted until its last renewal's end, or until its own run has been ended by who held it."""
    for job_id, runs in history.runs_of.items():
        for before, after in pairwise(runs):
            if before.completed_utc is None:
                yield job_id, f"run {after.run_id} began while run {before.run_id} was RUNNING"
            elif after.started_utc < _lease_end(before):
                yield job_id, f"run {after.run_id} began before the lease of run {before.run_id} was over"


def _lease_end(run: RunRow) -> datetime:
    assert run.completed_utc is not None
    if run.error_kind == ErrorKind.LEASE_EXPIRED:
        return max(run.completed_utc, run.lease_until_utc)
    return run.completed_utc


def attempts_are_the_runs_that_counted(history: History) -> Broken:
    for job in history.jobs.values():
        runs = history.runs_of.get(job.job_id, [])
        numbers = [run.attempt for run in runs]
        if numbers != list(range(1, len(runs) + 1)):
            yield job.job_id, f"the runs of job {job.job_id} are numbered {numbers}"
        for run in runs:
            if run.status != RunStatus.RUNNING and run.counted == (run.error_kind in UNCOUNTED):
                yield job.job_id, f"run {run.run_id} ({run.error_kind}) has counted = {run.counted}"
        *_, last = _counted_between_requeues(history, job.job_id)
        if job.attempt_count != last:
            yield job.job_id, f"job {job.job_id} has attempt_count {job.attempt_count}, and {last} runs counted"


def no_job_got_more_than_max_attempts_without_a_requeue(history: History) -> Broken:
    for job in history.jobs.values():
        for counted in _counted_between_requeues(history, job.job_id):
            if counted > job.max_attempts:
                yield job.job_id, f"job {job.job_id} got {counted} attempts of {job.max_attempts} without a requeue"


def _counted_between_requeues(history: History, job_id: UUID) -> Iterator[int]:
    counted = 0
    for event in history.events_of.get(job_id, []):
        if event.event == "requeued":
            yield counted
            counted = 0
        elif event.event == "claimed" and event.run_id in history.runs:
            counted += history.runs[event.run_id].counted
    yield counted


def nothing_stays_running_past_its_lease_and_the_reap_interval(history: History, blind: Sequence[Span] = ()) -> Broken:
    """``blind`` are the spans in which nobody could reap: no worker lived, or the database was away."""
    for run in history.runs.values():
        if run.status == RunStatus.RUNNING or run.error_kind == ErrorKind.LEASE_EXPIRED:
            overdue = overdue_seconds(run, history.now, blind)
            if overdue > REAPED_WITHIN_SECONDS:
                yield run.job_id, f"run {run.run_id} was RUNNING {overdue:.1f} s past its lease"
    for job in history.jobs.values():
        limit = history.now - timedelta(seconds=REAPED_WITHIN_SECONDS)
        if job.status == JobStatus.RUNNING and job.lease_expires_utc is not None and job.lease_expires_utc < limit:
            yield job.job_id, f"job {job.job_id} is RUNNING, and its lease ended at {job.lease_expires_utc}"


def overdue_seconds(run: RunRow, now: datetime, blind: Sequence[Span] = ()) -> float:
    """How long the run was RUNNING past its lease, of the time in which somebody could have reaped it."""
    return seconds_outside(blind, run.lease_until_utc.timestamp(), (run.completed_utc or now).timestamp())


def _ids(run_ids: Sequence[UUID | None]) -> str:
    return ", ".join(str(run_id) for run_id in run_ids) or "none"


BY_SQL = (
    no_job_has_two_succeeded_runs,
    every_run_was_ended_by_its_own_lease_or_a_reaper,
    no_two_runs_of_a_job_overlapped_in_granted_lease_time,
    attempts_are_the_runs_that_counted,
    no_job_got_more_than_max_attempts_without_a_requeue,
)
