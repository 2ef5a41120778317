"""Reads the parts of a split job and what their runs left."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from derive.sql.calls import as_guid
from derive.sql.fields import GuidField
from derive.sql.reading import reading
from derive.sql.tables import engine_of, quoted_table
from derive.states import JobStatus

_COLUMNS = (
    "part_no, job_id, status, error_kind, last_error, evidence_ref_json, run_id, definition_sha256, evidence_sha256, "
    "output_json"
)


@dataclass(frozen=True, slots=True)
class PartRow:
    """One part; the columns of its run are None unless it succeeded.

    ``evidence_ref_json`` is what it reads now: that of the job, or a half of it.
    """

    part_no: int
    job_id: UUID
    status: JobStatus
    error_kind: str | None
    last_error: str | None
    evidence_ref_json: str
    run_id: UUID | None
    definition_sha256: str | None
    evidence_sha256: str | None
    output_json: str | None


def read_parts(parent_job_id: UUID) -> list[PartRow]:
    """Return the parts of a job in order; empty if it has none. Raises QueueError."""
    table = quoted_table(engine_of(connection), "v_part")
    wanted = GuidField().get_db_prep_value(parent_job_id, connection)

    def query() -> list[tuple[Any, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {_COLUMNS} FROM {table} WHERE parent_job_id = %s ORDER BY part_no", [wanted])  # noqa: S608 (constants)
            return list(cursor.fetchall())

    return [_part(*row) for row in reading(query)]


def _part(part_no: int, job_id: Any, status: str, *columns: Any) -> PartRow:
    error_kind, last_error, evidence_ref_json, run_id, *of_run = columns
    return PartRow(
        part_no,
        as_guid(job_id),
        JobStatus(status),
        error_kind,
        last_error,
        evidence_ref_json,
        None if run_id is None else as_guid(run_id),
        *of_run,
    )
