"""The columns of exported rows: the single list behind queries, file formats and documentation."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Rows(StrEnum):
    """What one row holds."""

    OUTPUTS = "outputs"
    FACTS = "facts"
    ALL_FACTS = "all_facts"
    """Including facts that are not admitted."""


class Kind(StrEnum):
    """The type of a column; JSON is stored as text, which JSONL writes as JSON."""

    GUID = "guid"
    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TIME = "time"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an export: its name, the SQL that reads it, its type and its meaning.

    The SQL names tables in braces: ``{job}``.
    """

    name: str
    sql: str
    kind: Kind
    meaning: str


def _of(table: str, name: str, kind: Kind, meaning: str, *, called: str | None = None) -> Column:
    return Column(called or name, f"{table}.{name}", kind, meaning)


_OUTPUTS: Final = (
    _of("r", "run_seq", Kind.INTEGER, "the run's number, ascending by start; rows have this order"),
    _of("r", "job_id", Kind.GUID, "the job"),
    _of("r", "run_id", Kind.GUID, "the run; one row each"),
    _of("r", "attempt", Kind.INTEGER, "the number of the run within the job, from 1"),
    _of("j", "interrogation_key", Kind.TEXT, "the interrogation's key"),
    _of("r", "interrogation_version", Kind.TEXT, "the interrogation's version"),
    _of("j", "entity_type", Kind.TEXT, "the entity's type; null if the job names none"),
    _of("j", "entity_id", Kind.TEXT, "the entity's id; null if the job names none"),
    _of("r", "model_name", Kind.TEXT, "the model's name, without its tag"),
    _of("r", "model_tag", Kind.TEXT, "the model's tag"),
    _of("r", "model_digest", Kind.TEXT, "the model's digest as reported by the server, 64 hex digits"),
    _of("r", "options_json", Kind.JSON, "the options of the request", called="options"),
    _of("r", "started_utc", Kind.TIME, "when the run was claimed"),
    _of("r", "completed_utc", Kind.TIME, "when it ended; compared by --since and --until"),
    _of("r", "prompt_tokens", Kind.INTEGER, "tokens in the prompt"),
    _of("r", "output_tokens", Kind.INTEGER, "tokens in the answer"),
    _of("r", "total_ms", Kind.INTEGER, "milliseconds from the claim to the completion, by the worker's clock"),
    _of(
        "r",
        "definition_sha256",
        Kind.TEXT,
        "SHA-256 of the interrogation's definition (its text is in llm.interrogation)",
    ),
    _of("r", "evidence_sha256", Kind.TEXT, "SHA-256 of the evidence's items"),
    _of("a", "lake_uri", Kind.TEXT, "the answer's file, relative to the lake's root"),
    _of("a", "content_sha256", Kind.TEXT, "SHA-256 of that file's bytes"),
    _of("r", "output_json", Kind.JSON, "the answer, exactly as stored", called="output"),
    Column(
        "unread_parts",
        "CASE WHEN j.part_count IS NOT NULL THEN (SELECT COUNT(*) FROM {job} AS p WHERE p.parent_job_id = j.job_id"
        " AND p.parent_job_id IS NOT NULL AND p.status <> 'SUCCEEDED') END",
        Kind.INTEGER,
        "parts of long evidence without an answer: not 0 in a partial answer; null if it was not read in parts",
    ),
)

_FACTS: Final = (
    _of("f", "run_seq", Kind.INTEGER, "the run's number, ascending by start; rows have this order"),
    _of("f", "job_id", Kind.GUID, "the job"),
    _of("f", "run_id", Kind.GUID, "the run"),
    _of("f", "fact_index", Kind.INTEGER, "the fact's index in the answer, from 0; unique with run_id"),
    _of("f", "interrogation_key", Kind.TEXT, "the interrogation's key"),
    _of("f", "interrogation_version", Kind.TEXT, "the interrogation's version"),
    _of("f", "entity_type", Kind.TEXT, "the entity's type; null if the job names none"),
    _of("f", "entity_id", Kind.TEXT, "the entity's id; null if the job names none"),
    _of("f", "fact_key", Kind.TEXT, "what the fact is about; like value, JSON if the model did not write text"),
    _of("f", "value", Kind.TEXT, "the fact's value"),
    _of("f", "confidence", Kind.INTEGER, "the model's own confidence, 0 to 100; null if it is not a whole number"),
    _of("f", "evidence_ids", Kind.JSON, "the evidence items it cites, an array; null if it cites none"),
    _of("f", "quote", Kind.TEXT, "the text of that evidence which supports it"),
    _of("f", "model_name", Kind.TEXT, "the model's name, without its tag"),
    _of("f", "model_tag", Kind.TEXT, "the model's tag"),
    _of("f", "model_digest", Kind.TEXT, "the model's digest as reported by the server, 64 hex digits"),
    _of("f", "completed_utc", Kind.TIME, "when the run ended; compared by --since and --until"),
    _of(
        "f",
        "definition_sha256",
        Kind.TEXT,
        "SHA-256 of the interrogation's definition (its text is in llm.interrogation)",
    ),
    _of("f", "evidence_sha256", Kind.TEXT, "SHA-256 of the evidence's items"),
    _of("f", "lake_uri", Kind.TEXT, "the answer's file, relative to the lake's root"),
    _of("f", "content_sha256", Kind.TEXT, "SHA-256 of that file's bytes"),
    _of("f", "fact_id", Kind.GUID, "the fact's id"),
    _of("f", "path", Kind.TEXT, "the fact's JSON path in the answer"),
    _of("f", "evidence_id", Kind.TEXT, "the evidence item that contains the quote; null if none does"),
    _of("f", "quote_start", Kind.INTEGER, "where the quote starts in it, in code points"),
    _of("f", "quote_end", Kind.INTEGER, "where the quote ends, exclusive"),
    _of("f", "occurrences", Kind.INTEGER, "how often the quote occurs in it; the offsets are of the first"),
    _of("f", "proof", Kind.TEXT, "the rule that judged the value against its quote"),
    _of("f", "verdict", Kind.TEXT, "SUPPORTED, REFUTED or NOT_ENOUGH_INFO"),
    _of("f", "why", Kind.TEXT, "the reason for the verdict"),
    _of("f", "is_current", Kind.BOOLEAN, "false once a newer run over the same evidence has stored its facts"),
    _of("f", "conflict_id", Kind.GUID, "shared by facts that disagree about one key of one entity"),
    _of("f", "review_status", Kind.TEXT, "NONE, OPEN, ACCEPTED, CORRECTED or REJECTED"),
    _of("f", "reviewed_by", Kind.TEXT, "who reviewed it"),
    _of("f", "reviewed_utc", Kind.TIME, "when"),
    _of("f", "corrected_value", Kind.TEXT, "the reviewer's correction of the value"),
    _of(
        "f",
        "admitted",
        Kind.BOOLEAN,
        "whether the fact is admitted: --facts exports only these, --all-facts every fact",
    ),
)

COLUMNS: Final = {Rows.OUTPUTS: _OUTPUTS, Rows.FACTS: _FACTS, Rows.ALL_FACTS: _FACTS}
