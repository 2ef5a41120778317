"""Recurring interrogations: queue the jobs of a template, or of a file in the lake, at each scheduled time.

No duplicates: a job's id is derived from the plan, the scheduled time and the line, so repeating after a crash, or by a
second scheduler, adds nothing. No overlap: while a job of an earlier time is live, a time is skipped and reported.
Nothing lost: jobs that cannot be queued stay due and are retried.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from io import BytesIO
from itertools import pairwise
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from django.conf import settings

from derive.batch_contracts import BatchInput
from derive.deadline import Deadline
from derive.errors import HolocronError
from derive.intake.importing import ImportInterrupted, check_records, queue_spool
from derive.intake.line_format import LineFormat
from derive.intake.records import Record, read_records
from derive.intake.spool import RecordSpool
from derive.lake import Lake
from derive.live_versions import load_live
from derive.models import Job
from derive.models.schedules import RecurringInterrogation
from derive.queue import JobQueue
from derive.schedules.single_flight import TaskOutcome, TaskResult
from derive.sql.reading import reading
from derive.states import LIVE

MAX_FILE_BYTES = 64 * 1024 * 1024
HEAD_BYTES = 256 * 1024
"""How much of a plan's file its page reads; some thousand jobs. A run reads and checks all of it."""
MAX_REPORTED_LINES = 3
_LINE_BITS = 40
"""The low bits of a job's id number the file's lines, as for any import."""


@dataclass(frozen=True)
class PlanPreview:
    """How many jobs a plan would queue; for a long file only those at its start (``is_whole`` is false)."""

    jobs: int
    is_whole: bool


class NotQueued(HolocronError):
    """A plan's jobs cannot be queued now; the message says why and what to do."""


def queue_again(plan: RecurringInterrogation, due_utc: datetime, deadline: Deadline) -> TaskResult:
    """Queue the plan's jobs for one scheduled time; skip it while earlier ones are live."""
    if plan.queueing_utc != due_utc and (unfinished := _unfinished(plan)):
        return TaskResult(TaskOutcome.SKIPPED, f"skipped: {unfinished} of the jobs queued earlier are still live")
    with RecordSpool() as spool:
        _check(plan, due_utc, spool, records=_records(plan))
        # From here on this time is started, so its own queued jobs are no reason to skip the rest.
        RecurringInterrogation.objects.filter(pk=plan.pk).update(queueing_utc=due_utc)
        queue, reason = JobQueue(), f"recurring interrogation {plan.name}"
        try:
            batch_id = _open_batch(plan, due_utc, queue, reason) if plan.as_batch else None
            stored = queue_spool(
                spool,
                queue=queue,
                actor=plan.actor,
                reason=reason,
                batch_id=batch_id,
                stop_asked=lambda: deadline.is_over,
            )
        except ImportInterrupted as error:
            why = error.__cause__ or "out of time"
            raise NotQueued(f"queued up to line {error.progress.last_line or 0}, then: {why}") from error
        if batch_id is not None:
            queue.fill_batch(batch_id, actor=plan.actor)
    there_already = f", {stored.duplicates} already queued" if stored.duplicates else ""
    return TaskResult(TaskOutcome.DONE, f"{stored.queued} queued{there_already}")


def _open_batch(plan: RecurringInterrogation, due_utc: datetime, queue: JobQueue, reason: str) -> UUID:
    """Return the batch of one scheduled time, which a run that goes on after a crash finds by its name."""
    batch = BatchInput(name=f"{plan.name} {due_utc:%Y-%m-%d %H:%M}")
    return queue.open_batch(batch, actor=plan.actor, reason=reason).batch_id


def check_plan(plan: RecurringInterrogation) -> PlanPreview:
    """Return how many jobs a plan would queue now, reading only the start of a file.

    Raises NotQueued for a plan that would queue none, LakeError.
    """
    records, is_whole = _head(plan) if plan.lake_path else (_records(plan), True)
    with RecordSpool() as spool:
        any_time = datetime(2000, 1, 1)  # noqa: DTZ001 (nothing is queued)
        _check(plan, any_time, spool, records=records, may_be_empty=not is_whole)
        return PlanPreview(spool.count, is_whole)


def _head(plan: RecurringInterrogation) -> tuple[Iterator[Record], bool]:
    """Return the records at the start of the file, and whether that is the whole file."""
    data, size = Lake.open(settings.LAKE_URL).read_start(plan.lake_path, max_bytes=HEAD_BYTES)
    if size > MAX_FILE_BYTES:
        raise NotQueued(f"nothing was queued: {plan.lake_path} in the lake is larger than {MAX_FILE_BYTES} bytes")
    records = read_records(BytesIO(data), _form_of(plan))
    is_whole = len(data) >= size
    return (records if is_whole else _all_but_the_last(records)), is_whole


def _all_but_the_last(records: Iterator[Record]) -> Iterator[Record]:
    """Drop the record that may be cut off at the end."""
    yield from (before for before, _after in pairwise(records))


def _check(
    plan: RecurringInterrogation,
    due_utc: datetime,
    spool: RecordSpool,
    *,
    records: Iterator[Record],
    may_be_empty: bool = False,
) -> None:
    """Write the plan's jobs to the spool; raise NotQueued unless every one is valid."""
    registry = load_live(settings.INTERROGATIONS_FOLDER)
    bad: list[str] = []
    count = check_records(
        _named(records, plan, due_utc),
        registry=registry,
        import_id=_import_id(plan, due_utc),
        spool=spool,
        on_bad=lambda record: bad.append(_in_words(plan, record)) if len(bad) < MAX_REPORTED_LINES else None,
    )
    if count:
        more = f"; and {count - len(bad)} more" if count > len(bad) else ""
        raise NotQueued(f"nothing was queued: {'; '.join(bad)}{more}")
    if not spool.count and not may_be_empty:
        raise NotQueued(f"nothing was queued: {plan.lake_path} in the lake holds no jobs")


def _records(plan: RecurringInterrogation) -> Iterator[Record]:
    if plan.lake_path:
        data = Lake.open(settings.LAKE_URL).read(plan.lake_path, max_bytes=MAX_FILE_BYTES)
        yield from read_records(BytesIO(data), _form_of(plan))
        return
    names = ("interrogation_key", "entity_type", "entity_id", "input_json", "evidence_ref_json", "model_hint")
    texts = {name: getattr(plan, name) or None for name in names}
    yield Record(1, {**texts, "priority": plan.priority, "max_attempts": plan.max_attempts})


def _form_of(plan: RecurringInterrogation) -> LineFormat:
    return LineFormat.CSV if plan.lake_path.lower().endswith(".csv") else LineFormat.JSONL


def _named(records: Iterator[Record], plan: RecurringInterrogation, due_utc: datetime) -> Iterator[Record]:
    """Set each job's actor to the plan, and its dedupe key, unless it has one, to the plan and time."""
    for record in records:
        if record.values is None:
            yield record
            continue
        values: dict[str, Any] = {**record.values, "actor": plan.actor}
        if values.get("job_id") is not None:
            yield Record(record.line, None, "job_id: leave it out; each run queues new jobs")
            continue
        if values.get("dedupe_key") is None:
            values["dedupe_key"] = f"{plan.actor}:{due_utc:%Y-%m-%dT%H:%MZ}:{record.line}"
        yield Record(record.line, values)


def _import_id(plan: RecurringInterrogation, due_utc: datetime) -> UUID:
    named = uuid5(NAMESPACE_URL, f"holocron:{plan.task}:{due_utc:%Y-%m-%dT%H:%M:%S}")
    return UUID(int=named.int >> _LINE_BITS << _LINE_BITS)


def _in_words(plan: RecurringInterrogation, record: Record) -> str:
    return f"line {record.line}: {record.why}" if plan.lake_path else record.why


def _unfinished(plan: RecurringInterrogation) -> int:
    """Count the plan's live jobs, up to a hundred."""
    return reading(Job.objects.filter(created_by=plan.actor, status__in=sorted(LIVE))[:100].count)
