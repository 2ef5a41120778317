"""What SQL tells of every job, read once, whole, on either engine; promises are judged by this and the lake alone."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

GUIDS = frozenset({"job_id", "run_id", "current_run_id", "batch_id", "answer_job_id"})


@dataclass(frozen=True, slots=True)
class JobRow:
    job_id: UUID
    status: str
    interrogation_key: str
    dedupe_key: str | None
    max_attempts: int
    attempt_count: int
    current_run_id: UUID | None
    lease_expires_utc: datetime | None
    error_kind: str | None
    last_error: str | None
    batch_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class RunRow:
    run_id: UUID
    job_id: UUID
    attempt: int
    counted: bool
    started_utc: datetime
    completed_utc: datetime | None
    lease_until_utc: datetime
    status: str
    worker_id: str
    error_kind: str | None
    error: str | None


@dataclass(frozen=True, slots=True)
class EventRow:
    event_seq: int
    job_id: UUID
    run_id: UUID | None
    at_utc: datetime
    event: str
    from_status: str | None
    to_status: str
    actor: str
    reason: str | None
    detail_json: str | None


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    run_id: UUID
    artifact_type: str
    content_sha256: str
    byte_count: int
    lake_uri: str


@dataclass(frozen=True, slots=True)
class FactRow:
    run_id: UUID
    job_id: UUID
    fact_index: int
    value: str | None
    quote: str | None
    evidence_id: str | None
    quote_start: int | None
    quote_end: int | None
    verdict: str


@dataclass(frozen=True, slots=True)
class BatchRow:
    batch_id: UUID
    name: str
    queued_jobs: int
    on_finish_json: str | None
    finished_utc: datetime | None


@dataclass(frozen=True, slots=True)
class BatchEventRow:
    batch_id: UUID
    event: str


@dataclass(frozen=True, slots=True)
class BatchCountRow:
    batch_id: UUID
    status: str
    jobs: int


@dataclass(frozen=True, slots=True)
class SubjectRow:
    entity_id: str
    state: str
    job_id: UUID | None
    answer_job_id: UUID | None
    run_id: UUID | None


@dataclass(frozen=True, slots=True)
class DerivedRow:
    """A job that a derivation queued."""

    job_id: UUID
    derivation_key: str
    entity_type: str
    entity_id: str
    evidence_ref_json: str


@dataclass(frozen=True, slots=True)
class PastRow:
    """A job whose answer is no longer in use."""

    job_id: UUID


Row = TypeVar(
    "Row",
    JobRow,
    RunRow,
    EventRow,
    ArtifactRow,
    FactRow,
    BatchRow,
    BatchEventRow,
    BatchCountRow,
    SubjectRow,
    DerivedRow,
    PastRow,
)
DERIVED = """(
    SELECT j.job_seq, j.job_id, b.derivation_key, j.entity_type, j.entity_id, j.evidence_ref_json
    FROM llm.job AS j INNER JOIN llm.batch AS b ON j.batch_id = b.batch_id WHERE b.derivation_key IS NOT NULL
) AS derived"""


@dataclass(frozen=True, slots=True)
class History:
    """All rows, by job and by run; runs by attempt, events by number. ``now`` is the server's, when all was read."""

    now: datetime
    jobs: dict[UUID, JobRow]
    runs: dict[UUID, RunRow]
    runs_of: dict[UUID, list[RunRow]]
    events_of: dict[UUID, list[EventRow]]
    artifacts_of: dict[UUID, list[ArtifactRow]] = field(default_factory=dict)
    facts_of: dict[UUID, list[FactRow]] = field(default_factory=dict)
    batches: dict[UUID, BatchRow] = field(default_factory=dict)
    batch_events_of: dict[UUID, list[str]] = field(default_factory=dict)
    batch_counts: Sequence[BatchCountRow] = ()
    subjects: Sequence[SubjectRow] = ()
    derived: dict[UUID, DerivedRow] = field(default_factory=dict)
    past_answers: frozenset[UUID] = frozenset()

    @property
    def job_ids(self) -> set[UUID]:
        """Every job that any table speaks of."""
        return self.jobs.keys() | self.runs_of.keys() | self.events_of.keys()


def read_history(cursor: Any) -> History:
    """Read every table; the cursor is any DB-API's."""
    cursor.execute("SELECT CURRENT_TIMESTAMP")
    (now,) = cursor.fetchone()
    jobs = {row.job_id: row for row in _rows(cursor, JobRow, "llm.job", order="job_seq")}
    runs = {row.run_id: row for row in _rows(cursor, RunRow, "llm.run", order="attempt")}
    runs_of: dict[UUID, list[RunRow]] = defaultdict(list)
    for run in runs.values():
        runs_of[run.job_id].append(run)
    events_of: dict[UUID, list[EventRow]] = defaultdict(list)
    for event in _rows(cursor, EventRow, "llm.job_event", order="event_seq"):
        events_of[event.job_id].append(event)
    artifacts_of: dict[UUID, list[ArtifactRow]] = defaultdict(list)
    for artifact in _rows(cursor, ArtifactRow, "llm.artifact", order="artifact_seq"):
        artifacts_of[artifact.run_id].append(artifact)
    facts_of: dict[UUID, list[FactRow]] = defaultdict(list)
    for fact in _rows(cursor, FactRow, "llm.fact", order="fact_seq"):
        facts_of[fact.run_id].append(fact)
    batch_events_of: dict[UUID, list[str]] = defaultdict(list)
    for told in _rows(cursor, BatchEventRow, "llm.batch_event", order="event_seq"):
        batch_events_of[told.batch_id].append(told.event)
    return History(
        now,
        jobs,
        runs,
        dict(runs_of),
        dict(events_of),
        dict(artifacts_of),
        dict(facts_of),
        batches={row.batch_id: row for row in _rows(cursor, BatchRow, "llm.batch", order="batch_seq")},
        batch_events_of=batch_events_of,
        batch_counts=_rows(cursor, BatchCountRow, "llm.batch_count", order="count_seq"),
        subjects=_rows(cursor, SubjectRow, "llm.subject", order="subject_seq"),
        derived={row.job_id: row for row in _rows(cursor, DerivedRow, DERIVED, order="job_seq")},
        past_answers=frozenset(row.job_id for row in _rows(cursor, PastRow, "llm.past_answer", order="job_id")),
    )


def _rows(cursor: Any, kind: type[Row], table: str, *, order: str) -> Sequence[Row]:
    names = [column.name for column in fields(kind)]
    cursor.execute(f"SELECT {', '.join(names)} FROM {table} ORDER BY {order}")
    return [kind(*map(_value, names, row)) for row in cursor.fetchall()]


def _value(name: str, value: Any) -> Any:
    if name in GUIDS and value is not None:
        return UUID(str(value))
    return bool(value) if name == "counted" else value
