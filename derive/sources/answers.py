"""The latest succeeded answer of an interrogation about each entity."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from derive.evidence.references import MAX_TEXT_CHARACTERS
from derive.sources.sql_database import ROWS_AT_ONCE, SqlDatabase
from derive.sql.tables import Engine

_SELECT = """
    SELECT latest.entity_id, CAST(r.run_id AS varchar(36)), {output}
    FROM (
        SELECT
            j.job_id, j.entity_id,
            ROW_NUMBER() OVER (PARTITION BY j.entity_id ORDER BY j.finished_utc DESC, j.job_seq DESC) AS place
        FROM llm.job AS j
        WHERE j.interrogation_key = %s AND j.status = 'SUCCEEDED' AND j.entity_type = %s
            AND j.repeats_run_id IS NULL AND {entities}
    ) AS latest
    INNER JOIN llm.run AS r ON r.job_id = latest.job_id AND r.status = 'SUCCEEDED'
    WHERE latest.place = 1
    ORDER BY latest.entity_id
"""
_OUTPUT = {
    Engine.POSTGRESQL: f"LEFT(r.output_json, {MAX_TEXT_CHARACTERS + 1})",
    Engine.SQLSERVER: f"SUBSTRING(r.output_json, 1, {MAX_TEXT_CHARACTERS + 1})",
}


@dataclass(frozen=True, slots=True)
class LatestAnswer:
    """One answer. ``output_json`` is None if it was not stored or not asked for, and cut just beyond a text's limit."""

    entity_id: str
    run_id: str
    output_json: str | None = field(repr=False)


class LatestAnswers:
    """The answers of one interrogation about entities of one type; runs that repeat others are left out."""

    def __init__(self, database: SqlDatabase, interrogation_key: str, entity_type: str) -> None:
        self._database = database
        self._values = [interrogation_key, entity_type]
        self._where = f"the answers of {interrogation_key}"

    def all(self, *, with_outputs: bool) -> Iterator[LatestAnswer]:
        """Yield the answer about each entity, in constant memory; raise SourceError."""
        statements = {
            engine: _SELECT.format(output=output if with_outputs else "NULL", entities="j.entity_id IS NOT NULL")
            for engine, output in _OUTPUT.items()
        }
        for row in self._database.stream_statement(self._where, statements, self._values):
            yield LatestAnswer(*row)

    def about(self, entities: Sequence[str]) -> dict[str, LatestAnswer]:
        """Return the answers about at most a hundred entities; raise SourceError."""
        if not entities:
            return {}
        assert len(entities) <= ROWS_AT_ONCE  # noqa: S101 - the callers' chunks
        marks = ", ".join(["%s"] * len(entities))
        statements = {
            engine: _SELECT.format(output=output, entities=f"j.entity_id IN ({marks})")
            for engine, output in _OUTPUT.items()
        }
        rows = self._database.stream_statement(self._where, statements, [*self._values, *entities])
        return {row[0]: LatestAnswer(*row) for row in rows}
