"""What an exported row holds, column by column: the one list that queries, forms and documentation share."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Rows(StrEnum):
    """What one row is."""

    OUTPUTS = "outputs"
    FACTS = "facts"
    ALL_FACTS = "all_facts"
    """Also those that are not admitted."""


class Kind(StrEnum):
    """What a column holds; JSON is text as it was stored, which JSONL shows as what it is."""

    GUID = "guid"
    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TIME = "time"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an export: its name, the SQL that reads it, what it holds and what that means."""

    name: str
    sql: str
    kind: Kind
    meaning: str


def _of(table: str, name: str, kind: Kind, meaning: str, *, called: str | None = None) -> Column:
    return Column(called or name, f"{table}.{name}", kind, meaning)


_OUTPUTS: Final = (
    _of("r", "run_seq", Kind.INTEGER, "the run's number, in the order of starting: rows are in this order"),
    _of("r", "job_id", Kind.GUID, "the job that asked"),
    _of("r", "run_id", Kind.GUID, "the run that answered; a run has one row"),
    _of("r", "attempt", Kind.INTEGER, "which of the job's runs it was, from 1"),
    _of("j", "interrogation_key", Kind.TEXT, "the question"),
    _of("r", "interrogation_version", Kind.TEXT, "its version"),
    _of("j", "entity_type", Kind.TEXT, "what the job says the question is about; null where it says nothing"),
    _of("j", "entity_id", Kind.TEXT, "the same: which one"),
    _of("r", "model_name", Kind.TEXT, "the model that answered, without its tag"),
    _of("r", "model_tag", Kind.TEXT, "its tag"),
    _of("r", "model_digest", Kind.TEXT, "its digest as reported by the server, 64 hex digits"),
    _of("r", "options_json", Kind.JSON, "the options it was asked with", called="options"),
    _of("r", "started_utc", Kind.TIME, "when the run was claimed"),
    _of("r", "completed_utc", Kind.TIME, "when it ended; what --since and --until compare"),
    _of("r", "prompt_tokens", Kind.INTEGER, "tokens of the prompt"),
    _of("r", "output_tokens", Kind.INTEGER, "tokens of the answer"),
    _of("r", "total_ms", Kind.INTEGER, "milliseconds from the claim to the hand-in, by the worker's clock"),
    _of("r", "definition_sha256", Kind.TEXT, "SHA-256 of the question's definition (llm.interrogation has its text)"),
    _of("r", "evidence_sha256", Kind.TEXT, "SHA-256 of the evidence's items"),
    _of("a", "lake_uri", Kind.TEXT, "the answer's file, relative to the lake's root"),
    _of("a", "content_sha256", Kind.TEXT, "SHA-256 of that file's bytes"),
    _of("r", "output_json", Kind.JSON, "the answer, exactly as it was stored", called="output"),
)

_FACTS: Final = (
    _of("f", "run_seq", Kind.INTEGER, "the run's number, in the order of starting: rows are in this order"),
    _of("f", "job_id", Kind.GUID, "the job that asked"),
    _of("f", "run_id", Kind.GUID, "the run that answered"),
    _of("f", "fact_index", Kind.INTEGER, "the fact's place in the answer, from 0; a fact is one by run_id and this"),
    _of("f", "interrogation_key", Kind.TEXT, "the question"),
    _of("f", "interrogation_version", Kind.TEXT, "its version"),
    _of("f", "entity_type", Kind.TEXT, "what the job says the question is about; null where it says nothing"),
    _of("f", "entity_id", Kind.TEXT, "the same: which one"),
    _of("f", "fact_key", Kind.TEXT, "what the fact is about; like the next, JSON where the model wrote no text"),
    _of("f", "value", Kind.TEXT, "what is so"),
    _of(
        "f", "confidence", Kind.INTEGER, "how sure the model says it is, 0 to 100; null where it wrote no whole number"
    ),
    _of("f", "evidence_ids", Kind.JSON, "the evidence it cites, an array; null where nothing is cited"),
    _of("f", "quote", Kind.TEXT, "the words of that evidence which prove it"),
    _of("f", "model_name", Kind.TEXT, "the model that answered, without its tag"),
    _of("f", "model_tag", Kind.TEXT, "its tag"),
    _of("f", "model_digest", Kind.TEXT, "its digest as reported by the server, 64 hex digits"),
    _of("f", "completed_utc", Kind.TIME, "when the run ended; what --since and --until compare"),
    _of("f", "definition_sha256", Kind.TEXT, "SHA-256 of the question's definition (llm.interrogation has its text)"),
    _of("f", "evidence_sha256", Kind.TEXT, "SHA-256 of the evidence's items"),
    _of("f", "lake_uri", Kind.TEXT, "the answer's file, relative to the lake's root"),
    _of("f", "content_sha256", Kind.TEXT, "SHA-256 of that file's bytes"),
    _of("f", "fact_id", Kind.GUID, "the fact"),
    _of("f", "path", Kind.TEXT, "where in the answer it is"),
    _of("f", "evidence_id", Kind.TEXT, "the evidence its quote was found in; null where it was not found"),
    _of("f", "quote_start", Kind.INTEGER, "where the quote begins there, in code points"),
    _of("f", "quote_end", Kind.INTEGER, "where it ends, exclusive"),
    _of("f", "occurrences", Kind.INTEGER, "how often the quote stands there; the first place is told"),
    _of("f", "proof", Kind.TEXT, "the rule that judged the value by its quote"),
    _of("f", "verdict", Kind.TEXT, "SUPPORTED, REFUTED or NOT_ENOUGH_INFO"),
    _of("f", "why", Kind.TEXT, "the reason of the verdict"),
    _of("f", "is_current", Kind.BOOLEAN, "false once a newer run over the same evidence has its facts stored"),
    _of("f", "conflict_id", Kind.GUID, "shared by facts that disagree about one key of one entity"),
    _of("f", "review_status", Kind.TEXT, "NONE, OPEN, ACCEPTED, CORRECTED or REJECTED"),
    _of("f", "reviewed_by", Kind.TEXT, "who decided"),
    _of("f", "reviewed_utc", Kind.TIME, "when"),
    _of("f", "corrected_value", Kind.TEXT, "what a person put in the value's place"),
    _of("f", "admitted", Kind.BOOLEAN, "whether it stands: --facts gives these alone, --all-facts every fact"),
)

COLUMNS: Final = {Rows.OUTPUTS: _OUTPUTS, Rows.FACTS: _FACTS, Rows.ALL_FACTS: _FACTS}
