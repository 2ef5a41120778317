"""How an answer's schema is compiled, and what it says of answers that break it."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from derive.errors import ConfigurationError
from derive.interrogations.answer_schema import AnswerSchema

SMALL = st.integers(0, 3)
TEXTS = st.text(alphabet=st.sampled_from(["a", "b", "ä"]), max_size=4)
STRINGS = st.fixed_dictionaries(
    {"type": st.just("string")},
    optional={"minLength": SMALL, "maxLength": SMALL, "pattern": st.sampled_from(["^a+$", "^a", "b$", "ä|b"])},
)
NUMBERS = st.fixed_dictionaries(
    {"type": st.sampled_from(["integer", "number"])},
    optional={"minimum": SMALL, "maximum": SMALL, "exclusiveMinimum": SMALL},
)
CHOICES = st.fixed_dictionaries({"enum": st.lists(TEXTS | SMALL | st.none(), min_size=1, max_size=3)})
NAMES = st.sampled_from(["a", "b", "c"])


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    arrays = st.fixed_dictionaries(
        {"type": st.just("array")},
        optional={"items": inner, "minItems": SMALL, "maxItems": SMALL, "uniqueItems": st.booleans()},
    )
    objects = st.fixed_dictionaries(
        {"type": st.just("object")},
        optional={
            "properties": st.dictionaries(NAMES, inner, max_size=3),
            "required": st.lists(NAMES, unique=True),
            "additionalProperties": st.booleans(),
        },
    )
    forms = st.sampled_from(["anyOf", "oneOf", "allOf"])
    return arrays | objects | st.builds(lambda form, all_: {form: all_}, forms, st.lists(inner, min_size=1, max_size=3))


SCHEMAS = st.recursive(STRINGS | NUMBERS | CHOICES, nested, max_leaves=6)
ANSWERS = st.recursive(
    st.none() | st.booleans() | SMALL | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@given(schema=SCHEMAS, answer=ANSWERS)
def test_an_answer_has_faults_exactly_where_an_independent_validator_finds_some(
    schema: dict[str, Any], answer: Any
) -> None:
    assert (AnswerSchema(schema).find_faults(answer) == ()) is Draft202012Validator(schema).is_valid(answer)


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        ("^[a-z]+$", "a\n", False),
        (r"^\d+$", "12", True),
        (r"^\d+$", "١٢", False),
        (r"^\w+$", "é", False),
        (r"^\p{L}+$", "é", True),
        ("^(?!x)a", "a", True),
        ("^(?!a)a", "a", False),
    ],
)
def test_patterns_mean_what_they_mean_to_the_model_server(pattern: str, text: str, matches: bool) -> None:
    faults = AnswerSchema({"type": "string", "pattern": pattern}).find_faults(text)
    assert (faults == ()) is matches


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|aa)+$", r"^(?=(a+)+$)x", r"^(a+)+\1$"])
def test_no_pattern_takes_long_over_a_hostile_text(pattern: str) -> None:
    schema = AnswerSchema({"type": "string", "pattern": pattern})
    started = time.process_time()
    (fault,) = schema.find_faults("a" * 5_000 + "!")
    assert time.process_time() - started < 1
    assert "does not match" in fault.problem


@pytest.mark.parametrize(
    ("schema", "where"),
    [
        ({"type": "strin"}, "type"),
        ({"type": "string", "pattern": "("}, "pattern"),
        ({"$ref": "#/$defs/Missing"}, "the answer"),
        ({"$ref": "https://example.org/schema.json"}, "the answer"),
        ({"$ref": "file:///etc/passwd"}, "the answer"),
    ],
)
def test_what_is_no_schema_or_leads_outside_it_is_refused(schema: dict[str, Any], where: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^not a JSON schema: at {where}: "):
        AnswerSchema(schema)


def test_every_missing_member_is_named_and_ten_problems_are_enough() -> None:
    schema = {"type": "object", "required": [f"m{number}" for number in range(12)]}
    faults = AnswerSchema(schema).find_faults({})
    assert [fault.problem for fault in faults] == [f"lacks m{number}" for number in range(10)]


def test_a_problem_inside_definitions_is_reported_by_its_place_in_the_answer() -> None:
    schema = {
        "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "n": {"maximum": 3}}}},
        "$ref": "#/$defs/Node",
    }
    (fault,) = AnswerSchema(schema).find_faults({"next": {"next": {"n": 4}}})
    assert (fault.path, fault.problem, fault.excerpt) == ("next.next.n", "must be at most 3", "4")
