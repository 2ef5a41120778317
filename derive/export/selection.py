"""Which answers are exported, as SQL conditions."""

from typing import Any
from uuid import UUID

from django.db import connection
from pydantic import Field

from derive.export.columns import COLUMNS, Rows
from derive.model_servers.models import split_model
from derive.sql.fields import GuidField, UtcField
from derive.sql.tables import engine_of, quoted_table
from derive.strict_types import Frozen, Key200, Utc

MAX_JOBS = 1_000
"""Job ids per export: SQL Server accepts 2,100 parameters."""


class ExportSelection(Frozen):
    """Which answers; None does not filter. Times are of the run's end: ``since <= completed_utc < until``.

    ``model`` without a tag matches any tag.
    """

    rows: Rows = Rows.OUTPUTS
    interrogation: Key200 | None = None
    version: Key200 | None = None
    model: Key200 | None = None
    entity_type: Key200 | None = None
    entity: str | None = Field(default=None, min_length=1, max_length=400)
    since: Utc | None = None
    until: Utc | None = None
    jobs: tuple[UUID, ...] = Field(default=(), max_length=MAX_JOBS)

    def conditions(self) -> tuple[str, list[Any]]:
        """Return SQL that starts with `` AND`` (or is empty), and its parameters."""
        sql = {column.name: column.sql for column in COLUMNS[self.rows]}
        name, tag = split_model(self.model) if self.model else (None, None)
        has_tag = self.model is not None and ":" in self.model.rpartition("/")[2]
        parts: list[tuple[str, Any]] = [
            (f"{sql['interrogation_key']} = %s", self.interrogation),
            (f"{sql['interrogation_version']} = %s", self.version),
            (f"{sql['model_name']} = %s", name),
            (f"{sql['model_tag']} = %s", tag if has_tag else None),
            (f"{sql['entity_type']} = %s", self.entity_type),
            (f"{sql['entity_id']} = %s", self.entity),
            (f"{sql['completed_utc']} >= %s", _moment(self.since)),
            (f"{sql['completed_utc']} < %s", _moment(self.until)),
        ]
        asked = [(text, value) for text, value in parts if value is not None]
        texts, values = [text for text, _value in asked], [value for _text, value in asked]
        if self.jobs:
            texts.append(self._of_jobs(sql["job_id"], f"({', '.join(['%s'] * len(self.jobs))})"))
            values += [_guid(job_id) for job_id in self.jobs]
        elif self.rows is Rows.OUTPUTS:
            # Answers of experiments are tries: exported only when their jobs are named. They have no facts.
            experiment = quoted_table(engine_of(connection), "experiment")
            texts.append(
                f"(j.batch_id IS NULL OR NOT EXISTS (SELECT 1 FROM {experiment} AS x WHERE x.batch_id = j.batch_id))"  # noqa: S608 (constants)
            )
        return "".join(f" AND {text}" for text in texts), values

    def _of_jobs(self, column: str, ids: str) -> str:
        if self.rows is Rows.OUTPUTS:
            return f"{column} IN {ids}"
        # Facts are indexed by their run alone.
        run = quoted_table(engine_of(connection), "run")
        return f"f.run_id IN (SELECT of_job.run_id FROM {run} AS of_job WHERE of_job.job_id IN {ids})"  # noqa: S608 (constants)


def _moment(value: Any) -> Any:
    return None if value is None else UtcField().get_db_prep_value(value, connection)


def _guid(value: UUID) -> Any:
    return GuidField().get_db_prep_value(value, connection)
