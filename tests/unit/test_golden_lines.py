"""Golden cases as lines of a file: each bad line is named with what is wrong with it."""

import json
from typing import Any

import pytest

from derive.golden.checking import CheckedFile, check_lines
from derive.golden.lines import line_of
from derive.interrogations.registry import Registry
from derive.models import GoldenCase

KEY = "sw_entity_facts_v1"
LINE: dict[str, Any] = {
    "set": "heights",
    "case": "luke",
    "interrogation": KEY,
    "input": {"entity_type": "character", "entity_id": "luke"},
    "evidence": [{"evidence_id": "e1", "text": "Luke is 1.72 m tall."}],
    "expected": [{"key": "height", "value": "172 cm", "quote": "1.72 m tall", "evidence_id": "e1"}],
}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load(None)


def checked(registry: Registry, *lines: dict[str, Any] | str, **given: Any) -> CheckedFile:
    return check_lines([line if isinstance(line, str) else json.dumps(line) for line in lines], registry, **given)


def test_a_valid_line_is_a_case(registry: Registry) -> None:
    found = checked(registry, LINE)
    assert found.bad_lines == []
    assert [(one.set_name, one.case_key, one.interrogation_key) for one in found.cases] == [("heights", "luke", KEY)]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"expected": [{"key": "a", "value": 1, "weight": 2}]}, "expected[0].weight: Extra inputs"),
        ({"expected": [{"key": "a", "value": None}]}, "expected[0].value: is empty"),
        ({"expected": [{"key": "a", "value": "b", "quote": "1.8 m tall"}]}, "expected[0].quote is not in the evidence"),
        ({"expected": [{"key": "a", "value": "b", "evidence_id": "e2"}]}, "there is no evidence 'e2'"),
        ({"evidence": [{"evidence_id": "e1", "lake_uri": "x"}]}, "evidence[0].text: Field required"),
        ({"evidence": [{"evidence_id": "e1", "text": "a"}] * 2, "expected": []}, "the same evidence_id"),
        ({"interrogation": "sw_entity_fact_v1"}, "did you mean sw_entity_facts_v1"),
        ({"input": {}}, "input of sw_entity_facts_v1"),
        ({"matching": {"height": "roughly"}}, "matching.height"),
        ({"case": " luke"}, "case: has blanks at an end"),
        ({"case": None}, "case: "),
    ],
)
def test_a_bad_line_is_named_with_what_is_wrong(registry: Registry, change: dict[str, Any], why: str) -> None:
    found = checked(registry, LINE, "", {**LINE, "case": "han"} | change)
    assert [number for number, _ in found.bad_lines] == [3]
    assert why in found.bad_lines[0][1]


def test_a_case_given_twice_is_named_with_its_first_line(registry: Registry) -> None:
    found = checked(registry, LINE, {**LINE, "set": "other"}, LINE)
    assert found.bad_lines == [(3, "the case 'luke' of set 'heights' is on line 1 already")]


@pytest.mark.parametrize("line", ["{", "[]", '{"set": "a", "set": "b"}', "NaN", '"\\ud800"', "[" * 100_000])
def test_what_is_no_object_is_refused(registry: Registry, line: str) -> None:
    assert [number for number, _ in checked(registry, line).bad_lines] == [1]


def test_lines_without_a_set_get_the_one_given(registry: Registry) -> None:
    line = {name: value for name, value in LINE.items() if name != "set"}
    assert checked(registry, line).bad_lines != []
    assert [one.set_name for one in checked(registry, line, LINE | {"case": "b"}, set_name="given").cases] == [
        "given",
        "heights",
    ]


def test_quotes_may_be_in_the_evidence_of_the_input(registry: Registry) -> None:
    evidence = [{"evidence_id": "e1", "source_uri": None, "text": "Luke is 1.72 m tall."}]
    line = {**LINE, "evidence": [], "input": {**LINE["input"], "extra_params": {"evidence": evidence}}}
    assert checked(registry, line).bad_lines == []


def test_a_stored_case_has_the_form_of_its_line(registry: Registry) -> None:
    odd = {**LINE, "matching": {"*": "exact"}, "from_run": "6f2c6f0e-7d6c-4f0e-9d7e-111111111111"}
    for line in (LINE, odd, {**LINE, "expected": [{"key": "k", "value": v} for v in (1.5, True, "é\u2028", [1, "b"])]}):
        text = json.dumps(line, ensure_ascii=False)
        (case,) = checked(registry, text).cases
        assert line_of(GoldenCase(**case.model_dump())) == text
