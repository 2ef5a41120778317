"""Rules of a source: what they skip and route, before a model is asked."""

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import pytest

from derive.evidence.references import EvidenceRef
from derive.sources.contract import SkippedSubject, Source, SourceSubject, SubjectEvidence, Unreadable
from derive.sources.ruled_source import RuledSource
from derive.sources.rules import AnswerCondition, SourceRule
from derive.sources.sql_database import SqlDatabase


class Texts(Source):
    """Subjects with texts; one without a text is unreadable. ``read`` lists what was read, two at a time."""

    name = "texts"
    kind = "test"

    def __init__(self, **texts: str) -> None:
        self.texts = {name.replace("__", "/"): text for name, text in texts.items()}
        self.read: list[str] = []

    def subjects(self) -> Iterator[SourceSubject | Unreadable | SkippedSubject]:
        return (SourceSubject("text", name, None, f"test:{name}") for name in self.texts)

    def with_evidence(
        self, subjects: Iterable[SourceSubject]
    ) -> Iterator[SubjectEvidence | Unreadable | SkippedSubject]:
        remaining = iter(subjects)
        while chunk := list(islice(remaining, 2)):
            for subject in chunk:
                self.read.append(subject.entity_id)
                text = self.texts[subject.entity_id]
                item = EvidenceRef(evidence_id="t", text=text)
                yield SubjectEvidence(subject, (item,)) if text else Unreadable(subject.address, "no text", subject)


def no_database() -> Any:
    raise AssertionError("no rule asks for an answer")


def ruled(source: Texts, *rules: dict[str, Any]) -> RuledSource:
    named = [SourceRule.model_validate({"name": f"rule {place}"} | rule) for place, rule in enumerate(rules)]
    return RuledSource(source, named, SqlDatabase(no_database, timeout_seconds=1))


def outcomes(found: Iterable[Any]) -> dict[str, str]:
    return {one.subject.entity_id: outcome(one) for one in found}


def outcome(one: SubjectEvidence | Unreadable | SkippedSubject) -> str:
    if isinstance(one, SkippedSubject):
        return f"{one.rule}: {one.reason}"
    if isinstance(one, Unreadable):
        return one.reason
    return f"{one.rule} to {one.interrogation_key}" if one.rule else "asked"


def test_a_rule_on_the_entity_skips_without_reading() -> None:
    source = Texts(drafts__a="x", b="x", drafts__c="x", d="", e="x")
    found = ruled(source, {"glob": "drafts/**", "skip": "a draft"})
    expected = {
        "drafts/a": "rule 0: a draft",
        "b": "asked",
        "drafts/c": "rule 0: a draft",
        "d": "no text",
        "e": "asked",
    }
    assert [isinstance(one, SkippedSubject) for one in found.subjects()] == [True, False, True, False, False]
    subjects = list(source.subjects())
    assert list(outcomes(found.with_evidence(subjects)).items()) == list(expected.items())  # type: ignore[arg-type]
    assert source.read == ["b", "d", "e"]
    assert outcomes(found.read_all()) == expected


@pytest.mark.parametrize(
    ("rule", "applies_to"),
    [
        ({"regex": r"(?i)invoice\s+no"}, "long"),
        ({"regex": "^x"}, "short"),
        ({"min_characters": 10}, "long"),
        ({"max_characters": 1}, "short"),
        ({"min_characters": 1, "max_characters": 100}, "short long"),
        ({"glob": "s*", "regex": "I"}, ""),
        ({"glob": "l*", "regex": "I", "min_characters": 3}, "long"),
    ],
)
def test_all_conditions_of_a_rule_must_hold(rule: dict[str, Any], applies_to: str) -> None:
    found = outcomes(ruled(Texts(short="x", long="This is Invoice  No 7"), rule | {"skip": "why"}).read_all())
    assert [name for name, what in found.items() if what == "rule 0: why"] == applies_to.split()


def test_the_first_rule_that_applies_decides() -> None:
    rules = [{"regex": "a", "route": "facts"}, {"glob": "*", "skip": "the rest"}]
    assert outcomes(ruled(Texts(one="a", two="b"), *rules).read_all()) == {
        "one": "rule 0 to facts",
        "two": "rule 1: the rest",
    }
    # The first rule may route it, which only its text can tell.
    assert [type(one) for one in ruled(Texts(one="a"), *rules).subjects()] == [SourceSubject]


def test_no_text_keeps_a_regex_busy() -> None:
    began = time.process_time()
    found = outcomes(ruled(Texts(one="a" * 100_000), {"regex": "(a+)+$b", "skip": "why"}).read_all())
    assert found == {"one": "asked"}
    assert time.process_time() - began < 10  # a backtracking engine takes longer than the universe has


@pytest.mark.parametrize(
    ("output", "member", "value", "holds"),
    [
        ('{"kind": "spam"}', "kind", "spam", True),
        ('{"kind": "ham"}', "kind", "spam", False),
        ('{"a": {"b": 1}}', "a.b", 1, True),
        ('{"a": {"b": true}}', "a.b", 1, False),
        ('{"a": 3}', "a.b", 1, False),
        ("[1]", "a", 1, False),
        ("no json", "a", 1, False),
        (None, "a", 1, False),
    ],
)
def test_an_answer_is_compared_with_its_type(output: str | None, member: str, value: Any, holds: bool) -> None:
    assert AnswerCondition(interrogation="k", member=member, equals=value).holds(output) is holds
