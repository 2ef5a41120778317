"""A row's hash, the same on either engine: SHA-256 of canonical JSON (RFC 8785) of its columns.

Text as it is stored, numbers as decimal text, times in UTC to the microsecond, guids with dashes in lower case; null is
null and differs from empty. The columns are listed here, not taken from the models: a column that is added later leaves
the hashes of what was sealed before as they are.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Final, TypeVar
from uuid import UUID

from derive.models import Artifact, Job, JobEvent, ReadingModel, Run
from derive.sql.reading import reading

_T = TypeVar("_T")

BATCH_ROWS: Final = 50
"""Rows a query that carry documents: inputs, outputs and errors are held in memory."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


EVENT_COLUMNS: Final = _words(
    "event_seq job_id run_id at_utc event from_status to_status actor db_user reason detail_json"
)
JOB_COLUMNS: Final = _words(
    "job_seq job_id created_utc created_by interrogation_key entity_type entity_id input_json evidence_ref_json "
    "max_attempts dedupe_key repeats_run_id"
)
"""What never changes once a job is queued; the rest is told by its events."""
RUN_COLUMNS: Final = _words(
    "run_seq run_id job_id attempt counted started_utc completed_utc lease_until_utc status worker_id ollama_base_url "
    "model_name model_tag model_digest options_json metrics_json prompt_tokens output_tokens total_ms "
    "interrogation_version definition_sha256 evidence_sha256 output_json trace_id error_kind error"
)
ARTIFACT_COLUMNS: Final = _words(
    "artifact_seq artifact_id run_id artifact_type media_type content_sha256 byte_count lake_uri created_utc"
)


def row_sha256(columns: Sequence[str], values: Sequence[Any]) -> str:
    """Return the hash of one row."""
    return hashlib.sha256(canonical(dict(zip(columns, values, strict=True)))).hexdigest()


def canonical(row: dict[str, Any]) -> bytes:
    """Return a row as canonical JSON in UTF-8.

    Of a flat object without numbers this is what RFC 8785 asks for, and five times as fast as the package for all of
    it. Halves of surrogate pairs, which SQL Server can hold, are written as they are: a hash, not a text, comes of it.
    """
    plain = {name: _plain(value) for name, value in row.items()}
    text = json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def _plain(value: Any) -> str | bool | None:
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, datetime):
        return utc_text(value)
    if isinstance(value, int | UUID):
        return str(value)
    raise TypeError(f"no column of these tables holds a {type(value).__name__}")


def utc_text(moment: datetime) -> str:
    """Return a moment in UTC, always with its microseconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_events(*, after: int, up_to: int, limit: int) -> list[tuple[Any, ...]]:
    """Return events by their numbers, EVENT_COLUMNS each."""
    events = JobEvent.objects.filter(event_seq__gt=after, event_seq__lte=up_to).order_by("event_seq")
    return reading(lambda: list(events.values_list(*EVENT_COLUMNS)[:limit]))


def job_hashes(job_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return the hashes of those of these jobs that there are."""
    return _hashes(Job, "job_id", JOB_COLUMNS, job_ids)


def run_hashes(run_ids: Iterable[UUID]) -> dict[UUID, str]:
    """Return the hashes of those of these runs that there are."""
    return _hashes(Run, "run_id", RUN_COLUMNS, run_ids)


def _hashes(model: type[ReadingModel], key: str, columns: Sequence[str], ids: Iterable[UUID]) -> dict[UUID, str]:
    place = columns.index(key)
    found: dict[UUID, str] = {}
    for some in batches(ids, BATCH_ROWS):
        rows = model.objects.filter(**{f"{key}__in": some}).values_list(*columns)
        found.update((row[place], row_sha256(columns, row)) for row in reading(lambda rows=rows: list(rows)))  # type: ignore[misc]  # bound early
    return found


def read_artifacts(run_ids: Iterable[UUID]) -> dict[UUID, list[tuple[Any, ...]]]:
    """Return the artifacts' rows of these runs by run, ARTIFACT_COLUMNS each, in the order of their types."""
    found: dict[UUID, list[tuple[Any, ...]]] = {}
    for some in batches(run_ids, BATCH_ROWS):
        rows = Artifact.objects.filter(run_id__in=some).order_by("artifact_type").values_list(*ARTIFACT_COLUMNS)
        for row in reading(lambda rows=rows: list(rows)):  # type: ignore[misc]  # bound early
            found.setdefault(row[2], []).append(row)
    return found


def batches(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Yield the items in lists of so many."""
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some
