"""What every job's rows must tell when the queue has been drained: that it ended, and step by step how."""

from collections import defaultdict
from itertools import pairwise
from uuid import UUID

from derive.states import ENDED, HOLDS_DEDUPE_KEY, REQUEUEABLE, WAITING, JobStatus, is_legal_move
from tests.chaos.history import EventRow, History
from tests.chaos.ledger import Ledger
from tests.chaos.promises import Broken

_NEW, _SCHEDULED, _RUNNING, _SPLIT = JobStatus.NEW, JobStatus.SCHEDULED, JobStatus.RUNNING, JobStatus.SPLIT
_STAYS: set[tuple[JobStatus | None, JobStatus]] = {(status, status) for status in JobStatus}
_MOVES: dict[str, set[tuple[JobStatus | None, JobStatus]]] = {
    "enqueued": {(None, to) for to in WAITING},
    "promoted": {(_SCHEDULED, _NEW)},
    "claimed": {(_NEW, _RUNNING)},
    "completed": {(_RUNNING, JobStatus.SUCCEEDED), (_RUNNING, JobStatus.FAILED)},
    "retried": {(_RUNNING, to) for to in WAITING},
    "dead_lettered": {(_RUNNING, JobStatus.DEADLETTER)},
    # A release and an expiry tell the cause; where that is not the whole move, the next event tells the end.
    "released": {(_RUNNING, _NEW), (_RUNNING, _RUNNING)},
    "lease_expired": {(_RUNNING, to) for to in WAITING | {_RUNNING}},
    "split": {(_RUNNING, _SPLIT)},
    "joined": {(_SPLIT, _NEW)},
    "cancel_requested": {(_RUNNING, _RUNNING), (_SPLIT, _SPLIT)},
    "cancelled": {(status, JobStatus.CANCELLED) for status in WAITING | {_RUNNING, _SPLIT}},
    "requeued": {(status, to) for status in REQUEUEABLE for to in WAITING | {_SPLIT}},
    "rescheduled": {(status, to) for status in WAITING for to in WAITING} | {(_SPLIT, _SPLIT)},
    "reprioritized": _STAYS,
    "model_changed": _STAYS,
    "held": _STAYS,
    "unheld": _STAYS,
    "fact_reviewed": _STAYS,
}
"""Which moves an event may tell of."""


def every_job_enqueued_exists(history: History, ledger: Ledger) -> Broken:
    for job_id in sorted(ledger.queued - history.jobs.keys()):
        yield job_id, f"job {job_id} was queued, and is not there"
    # An applier that was killed tells of no job; those of derivations have promises of their own.
    for job_id in sorted(history.job_ids - ledger.queued - history.derived.keys()):
        yield job_id, f"job {job_id} is there, and nobody queued it"


def every_job_is_in_an_end_state(history: History) -> Broken:
    for job in history.jobs.values():
        if job.status not in ENDED:
            yield job.job_id, f"job {job.job_id} is {job.status} after all was drained"


def every_state_is_explained_by_events(history: History) -> Broken:
    for job in history.jobs.values():
        events = history.events_of.get(job.job_id, [])
        if not events:
            yield job.job_id, f"job {job.job_id} has no event"
        elif events[-1].to_status != job.status:
            yield job.job_id, f"job {job.job_id} is {job.status}, and its last event says {events[-1].to_status}"
        if job.status == JobStatus.SUCCEEDED and [event.event for event in events].count("completed") < 1:
            yield job.job_id, f"job {job.job_id} is SUCCEEDED, and no event tells of a completion"


def every_events_from_status_is_the_to_status_before_it(history: History) -> Broken:
    for job_id, events in history.events_of.items():
        if events[0].from_status is not None:
            yield job_id, f"{_of(events[0])} is the first, and begins at {events[0].from_status}"
        for before, after in pairwise(events):
            if after.from_status != before.to_status:
                yield (
                    job_id,
                    f"{_of(after)} begins at {after.from_status}, and {_of(before)} ended at {before.to_status}",
                )
            if after.at_utc < before.at_utc:
                yield job_id, f"{_of(after)} was earlier than {_of(before)}"


def every_move_is_legal(history: History) -> Broken:
    for job_id, events in history.events_of.items():
        for event in events:
            before = JobStatus(event.from_status) if event.from_status else None
            after = JobStatus(event.to_status)
            if not is_legal_move(before, after) or (before, after) not in _MOVES[event.event]:
                yield job_id, f"{_of(event)} moved the job from {before} to {after}"


def duplicates_by_key_are_one_job(history: History, ledger: Ledger) -> Broken:
    holders: dict[tuple[str, str], list[UUID]] = defaultdict(list)
    for job in history.jobs.values():
        if job.dedupe_key is not None and job.status in HOLDS_DEDUPE_KEY:
            holders[job.interrogation_key, job.dedupe_key].append(job.job_id)
    for (_, key), jobs in holders.items():
        for job_id in jobs[1:]:
            yield job_id, f"jobs {jobs[0]} and {job_id} both hold the key {key}"
    for key, answered in ledger.duplicates:
        found = history.jobs.get(answered)
        if found is None or found.dedupe_key != key:
            yield answered, f"a duplicate of the key {key} was answered with job {answered}, which does not bear it"


def _of(event: EventRow) -> str:
    return f"event {event.event_seq} ({event.event})"


BY_SQL = (
    every_job_is_in_an_end_state,
    every_state_is_explained_by_events,
    every_events_from_status_is_the_to_status_before_it,
    every_move_is_legal,
)
BY_LEDGER = (every_job_enqueued_exists, duplicates_by_key_are_one_job)
