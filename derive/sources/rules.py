r"""Rules of a source: cheap conditions that skip subjects, or route them to an interrogation, before a model is asked.

For example, in the table of a source::

    [[source.rule]]
    name = "drafts"
    glob = "drafts/**"                  # on the entity
    skip = "drafts change too often"    # the recorded reason

    [[source.rule]]
    name = "invoices"
    regex = '(?i)invoice\s+no'          # anywhere in a text
    min_characters = 200                # of all texts together; also max_characters
    route = "invoice_facts"             # the interrogation that asks about it; others do not

    [[source.rule]]
    name = "spam"
    answer = { interrogation = "letter_kind", member = "kind", equals = "spam" }
    skip = "it is spam"

All conditions of a rule must hold. The first rule that applies decides.
"""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter, ValidationError, model_validator
from pydantic_core import SchemaError

from derive.sources.contract import SkippedSubject, SourceSubject, SubjectEvidence
from derive.sources.globs import Glob, compile_globs
from derive.strict_types import Frozen, Key200, parse_json

MAX_RULES = 50
_MAX_REGEX_CHARACTERS = 1000


def _searcher(regex: str) -> TypeAdapter[str]:
    """Return what accepts the texts that the regex occurs in.

    Pydantic's regexes are those of Rust: the time is linear in the text, so no text can keep one busy.
    """
    return TypeAdapter(Annotated[str, StringConstraints(pattern=regex)])


def _regex(text: str) -> str:
    try:
        _searcher(text)
    except SchemaError:
        raise ValueError("write a regular expression without look-around and back-references") from None
    return text


class AnswerCondition(Frozen):
    """The latest answer about the same entity has this value at ``member``, a name or several with dots between."""

    interrogation: Key200
    member: str = Field(min_length=1, max_length=200)
    equals: str | int | float | bool

    def holds(self, output_json: str | None) -> bool:
        """Whether an answer has the value; false without an answer."""
        if output_json is None:
            return False
        try:
            value = parse_json(output_json)
        except ValueError:
            return False
        for name in self.member.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        return type(value) is type(self.equals) and bool(value == self.equals)


class SourceRule(Frozen):
    """One ``[[source.rule]]`` table."""

    name: str = Field(min_length=1, max_length=100)
    glob: Glob | None = None
    regex: Annotated[str, Field(min_length=1, max_length=_MAX_REGEX_CHARACTERS), AfterValidator(_regex)] | None = None
    min_characters: int | None = Field(default=None, ge=0, strict=True)
    max_characters: int | None = Field(default=None, ge=0, strict=True)
    answer: AnswerCondition | None = None
    skip: str | None = Field(default=None, min_length=1, max_length=400)
    route: Key200 | None = None

    @model_validator(mode="after")
    def _decides_one_thing_on_some_condition(self) -> Self:
        if (self.skip is None) == (self.route is None):
            raise ValueError("write either skip, with the reason, or route, with an interrogation's key")
        conditions = (self.glob, self.regex, self.min_characters, self.max_characters, self.answer)
        if all(condition is None for condition in conditions):
            raise ValueError("write a condition: glob, regex, min_characters, max_characters or answer")
        return self

    @property
    def is_about_the_entity_alone(self) -> bool:
        """Whether the rule can be applied without the texts and without an answer."""
        return (self.regex, self.min_characters, self.max_characters, self.answer) == (None, None, None, None)


class CompiledRule:
    """A rule, ready to be applied to many subjects."""

    def __init__(self, rule: SourceRule) -> None:
        self.rule = rule
        self._matches = compile_globs([rule.glob]) if rule.glob is not None else None
        self._searcher = _searcher(rule.regex) if rule.regex is not None else None

    def may_apply(self, subject: SourceSubject) -> bool:
        """Whether the entity meets the rule's glob, if it has one."""
        return self._matches is None or bool(self._matches(subject.entity_id))

    def applies(self, found: SubjectEvidence, output_json: str | None) -> bool:
        """Whether all conditions hold; ``output_json`` is the answer that the rule asks for, if there is one."""
        return (
            self.may_apply(found.subject)
            and self._has_the_length(found)
            and (self.rule.answer is None or self.rule.answer.holds(output_json))
            and (self._searcher is None or any(self._finds(item.text or "") for item in found.items))
        )

    def _has_the_length(self, found: SubjectEvidence) -> bool:
        low, high = self.rule.min_characters, self.rule.max_characters
        if low is None and high is None:
            return True
        length = sum(len(item.text or "") for item in found.items)
        return (low or 0) <= length and (high is None or length <= high)

    def _finds(self, text: str) -> bool:
        assert self._searcher is not None  # noqa: S101 - asked for only with one
        try:
            self._searcher.validate_python(text)
        except ValidationError:
            return False
        return True

    def outcome(self, found: SubjectEvidence) -> SubjectEvidence | SkippedSubject:
        """Return what becomes of a subject that the rule applies to."""
        if self.rule.skip is not None:
            return SkippedSubject(found.subject, self.rule.name, self.rule.skip)
        return SubjectEvidence(found.subject, found.items, self.rule.route, self.rule.name)
