"""Frozen models of golden cases: what is saved of one, and what became of it."""

from enum import StrEnum

from derive.strict_types import Frozen, Guid, JsonObjectText, Key200


class CaseInput(Frozen):
    """A golden case to save: an element of the parameter of ``llm.usp_save_golden_cases``.

    ``evidence_json`` is ``{"items": […]}`` as in a job's references, each item with its text; ``expected_json`` is
    ``{"facts": [{"key", "value", …}]}``; ``matching_json`` says by key how values are compared.
    """

    set_name: Key200
    case_key: Key200
    interrogation_key: Key200
    input_json: JsonObjectText
    evidence_json: JsonObjectText
    expected_json: JsonObjectText
    matching_json: JsonObjectText | None = None
    from_run_id: Guid | None = None
    from_review_id: Guid | None = None


class SaveOutcome(StrEnum):
    """What became of a case that was to be saved."""

    CREATED = "created"
    REPLACED = "replaced"
    UNCHANGED = "unchanged"
    EXISTS = "exists"
    """Refused: the set has another case of this key, and replacing was not asked for."""
    SKIPPED = "skipped"
    """Not saved, because another case of the same call exists."""


NOT_SAVED = frozenset({SaveOutcome.EXISTS, SaveOutcome.SKIPPED})
