"""Undo: restores the values stored in an action's events, unless they were changed since."""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from django.utils.dateparse import parse_datetime

from derive.admin.lists.keyset import Condition, Walk, equals
from derive.contracts import JobChange, JobRef
from derive.models import Job, JobEvent
from derive.queue import CHANGE_BATCH, JobQueue

UNDONE = {"reprioritized": "priority", "rescheduled": "available_utc"}


@dataclass(frozen=True)
class EventSpan:
    """The events of one step of an action: of one actor, kind and reason, between two event numbers."""

    event: str
    actor: str
    reason: str
    after: int
    until: int

    def written(self) -> str:
        """Serialise the span, to be signed."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> "EventSpan":
        """Parse a serialised span; raise ValueError."""
        span = cls(**json.loads(text))
        if span.event not in UNDONE:
            raise ValueError("cannot be undone")
        return span

    def walk(self) -> Walk:
        """Return the query for these events, served by the index of people's events."""
        # A literal: a parameter never matches a filtered index.
        arm = (equals("actor", self.actor), Condition(f"event = '{self.event}'"))
        ends = (Condition("event_seq > %s", (self.after,)), Condition("event_seq <= %s", (self.until,)))
        return Walk(JobEvent, "event_seq", arms=((*arm, *ends),))


def put_back(queue: JobQueue, span: EventSpan) -> Iterator[list[JobChange]]:
    """Restore each job's previous value, batch by batch, and yield the results."""
    column = UNDONE[span.event]
    for page in span.walk().batches(rows=CHANGE_BATCH):
        events = JobEvent.objects.filter(event_seq__in=page.sequences, reason=span.reason)
        earlier = {event.job_id: _values(event.detail_json, column) for event in events}
        yield from _batch(queue, span, column, {job: pair for job, pair in earlier.items() if pair is not None})


def _batch(
    queue: JobQueue, span: EventSpan, column: str, earlier: dict[UUID, tuple[Any, Any]]
) -> Iterator[list[JobChange]]:
    now = dict(Job.objects.filter(job_id__in=list(earlier)).values_list("job_id", column))
    groups: dict[Any, list[JobRef]] = defaultdict(list)
    moved_on = []
    for job_id, (before, after) in earlier.items():
        if now.get(job_id) == after:
            groups[before].append(JobRef(job_id=job_id))
        else:
            moved_on.append(
                JobChange(job_id=job_id, changed=False, from_status=None, to_status=None, why="it was changed since")
            )
    if moved_on:
        yield moved_on
    reason = f"undo: {span.reason}"[:1_000]
    for before, refs in groups.items():
        if column == "priority":
            yield queue.reprioritize(refs, actor=span.actor, priority=before, reason=reason)
        else:
            yield queue.reschedule(refs, actor=span.actor, available_utc=before, reason=reason)


def _values(detail_json: str | None, column: str) -> tuple[Any, Any] | None:
    """Return the values before and after, from an event's details."""
    detail = json.loads(detail_json or "{}").get(column)
    if not isinstance(detail, dict):
        return None
    pair = detail.get("from", ""), detail.get("to", "")
    return (parse_datetime(pair[0]), parse_datetime(pair[1])) if column == "available_utc" else pair
