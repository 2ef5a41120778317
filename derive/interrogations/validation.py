"""Validates one answer as JSON, against its schema and by its model, up to the first failure; then judges its facts."""

import math
from typing import Any

from pydantic import BaseModel, ValidationError

from derive.errors import InvalidOutput
from derive.evidence.contracts import EvidenceBundle
from derive.facts.acceptance import check_acceptance
from derive.facts.judging import judge_facts
from derive.facts.rules import FactRules
from derive.facts.terms import Terms
from derive.interrogations.answer_schema import AnswerSchema
from derive.interrogations.grounding import is_cited_fact
from derive.interrogations.report import Detail, Validation, ValidationCheck, excerpt_of, message_of, path_of
from derive.strict_types import parse_json

MAX_DEPTH = 64
MAX_VALUES = 100_000
"""Limit per answer: about a hundred times the largest expected one, and still judged within seconds."""
MAX_FACTS = 10_000
"""Limit per answer: this many facts are judged within a second and stored in one call."""
_MAX_PROBLEMS = 10
_MAX_PROBLEM_CHARACTERS = 200
_NAMES = ("json", "schema", "model", "grounding", "proof")


class _Refused(Exception):
    def __init__(self, *details: Detail) -> None:
        super().__init__()
        self.details = details


def validate_answer(
    content: str,
    *,
    schema: AnswerSchema,
    bundle: EvidenceBundle,
    output_model: type[BaseModel] | None,
    fact_rules: FactRules,
    entity: str,
    terms: Terms,
) -> Validation:
    """Return the report on an answer; nothing the model can write makes this raise.

    Without ``output_model`` (an old definition whose code is gone), the check ``model`` is skipped.
    """
    checks: list[ValidationCheck] = []
    value: Any = None
    try:
        value = _parse(content)
        checks.append(ValidationCheck(name="json", result="passed"))
        _refuse_if(schema.find_faults(value))
        checks.append(ValidationCheck(name="schema", result="passed"))
        if output_model is None:
            checks.append(ValidationCheck(name="model", result="skipped"))
        else:
            _refuse_if(_model_faults(content, output_model))
            checks.append(ValidationCheck(name="model", result="passed"))
    except _Refused as refused:
        return _refuse(checks, refused.details, terms)
    judged = judge_facts(value, bundle, fact_rules, entity=entity)
    fact_checks, error = check_acceptance(judged, terms)
    return Validation(
        checks=(*checks, *fact_checks),
        value=value,
        error=error,
        folded_quotes=judged.folded_quotes,
        facts=judged.facts,
        terms=terms,
    )


def _refuse_if(details: tuple[Detail, ...]) -> None:
    if details:
        raise _Refused(*details)


def _refuse(passed: list[ValidationCheck], details: tuple[Detail, ...], terms: Terms) -> Validation:
    failed, *rest = _NAMES[len(passed) :]
    checks = [*passed, ValidationCheck.model_validate({"name": failed, "result": "failed", "details": details})]
    checks += [ValidationCheck.model_validate({"name": name, "result": "skipped"}) for name in rest]
    error = InvalidOutput(f"the answer is not valid ({failed}): {message_of(details)}")
    return Validation(checks=tuple(checks), value=None, error=error, terms=terms)


def _parse(content: str) -> Any:
    if not content.strip():
        raise _Refused(Detail(path="the answer", problem="is empty"))
    try:
        value = parse_json(content)
    except ValueError as error:
        problem = f"is not JSON: {error}"[:_MAX_PROBLEM_CHARACTERS]
        if content.lstrip().startswith("```"):
            problem = "is not JSON: write the object alone, without a code fence"
        raise _Refused(Detail(path="the answer", problem=problem)) from None
    _check_values(value)
    return value


def _check_values(answer: Any) -> None:
    """Reject valid JSON that cannot be stored or processed; does not recurse, since answers may be deeply nested."""
    waiting: list[tuple[Any, tuple[int | str, ...]]] = [(answer, ())]
    seen = facts = 0
    while waiting:
        value, path = waiting.pop()
        seen += 1
        if seen > MAX_VALUES:
            raise _Refused(Detail(path="the answer", problem=f"holds more than {MAX_VALUES} values"))
        if len(path) > MAX_DEPTH:
            raise _Refused(Detail(path="the answer", problem=f"is nested more than {MAX_DEPTH} levels deep"))
        if isinstance(value, str):
            _check_text(value, path)
        elif isinstance(value, float) and not math.isfinite(value):
            raise _Refused(Detail(path=path_of(path), problem="is too large a number", excerpt=str(value)))
        elif isinstance(value, dict):
            facts += _check_object(value, path)
            if facts > MAX_FACTS:
                raise _Refused(Detail(path="the answer", problem=f"holds more than {MAX_FACTS} facts"))
            waiting.extend((member, (*path, name)) for name, member in value.items())
        elif isinstance(value, list):
            if seen + len(waiting) + len(value) > MAX_VALUES:
                raise _Refused(Detail(path=path_of(path), problem=f"holds more than {MAX_VALUES} values"))
            waiting.extend((member, (*path, place)) for place, member in enumerate(value))


def _check_object(value: dict[str, Any], path: tuple[int | str, ...]) -> bool:
    """Reject names that cannot be stored; return whether the object is a fact."""
    for name in value:
        _check_text(name, path)
    return is_cited_fact(value)


def _check_text(text: str, path: tuple[int | str, ...]) -> None:
    if "\x00" in text:
        raise _Refused(Detail(path=path_of(path), problem="holds the character U+0000", excerpt=excerpt_of(text)))
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError:
        problem = "holds half of a surrogate pair, which is no character"
        raise _Refused(Detail(path=path_of(path), problem=problem, excerpt=excerpt_of(text))) from None


def _model_faults(content: str, output_model: type[BaseModel]) -> tuple[Detail, ...]:
    try:
        output_model.model_validate_json(content, strict=True)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)[:_MAX_PROBLEMS]
        return tuple(
            Detail(path=path_of(tuple(problem["loc"])), problem=problem["msg"][:_MAX_PROBLEM_CHARACTERS])
            for problem in found
        )
    return ()
