import re
from contextlib import suppress
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.demo.filling import Filler
from derive.demo.patterns import PatternRefused, shortest_match
from derive.demo.scalars import UnfillableSchema

NAMES = st.text(alphabet="abcdefgh_", min_size=1, max_size=6)
PATTERNS = [
    r"^[a-z][a-z0-9_]{0,40}$",
    r"^(yes|no)$",
    r"^\d{4}-\d{2}-\d{2}$",
    r"^[0-9a-f]{64}$",
    r"^[^a]+$",
    r"^(?:ab)+c?$",
    r"^\w+@\w+\.(com|org)$",
    r"x{2,}",
]
KNOWN_FACTS: list[dict[str, Any]] = [
    {"fact_key": "species", "value": "human", "confidence": 90, "evidence_ids": ["a"], "quote": "He is a human."},
    {"fact_key": "height", "value": "1.9 metres", "confidence": 70, "evidence_ids": ["b"], "quote": "1.9 metres."},
]


@st.composite
def bounded(draw: st.DrawFn, low: str, high: str, kind: str, *, greatest: int) -> dict[str, Any]:
    """A schema with a lower bound, an upper one, both or none."""
    least, most = sorted((draw(st.integers(0, greatest)), draw(st.integers(0, greatest))))
    schema: dict[str, Any] = {"type": kind}
    if draw(st.booleans()):
        schema[low] = least
    if draw(st.booleans()):
        schema[high] = most
    return schema


@st.composite
def objects(draw: st.DrawFn, members: st.SearchStrategy[Any]) -> dict[str, Any]:
    properties = draw(st.dictionaries(NAMES, members, max_size=4))
    required = draw(st.lists(st.sampled_from(sorted(properties)), unique=True)) if properties else []
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


@st.composite
def arrays(draw: st.DrawFn, members: st.SearchStrategy[Any]) -> dict[str, Any]:
    return {**draw(bounded("minItems", "maxItems", "array", greatest=4)), "items": draw(members)}


SCALARS = st.one_of(
    bounded("minLength", "maxLength", "string", greatest=40),
    bounded("minimum", "maximum", "integer", greatest=100),
    bounded("minimum", "maximum", "number", greatest=100),
    st.integers(-5, 5).map(lambda low: {"type": "number", "exclusiveMinimum": low, "exclusiveMaximum": low + 1}),
    st.integers(1, 9).map(lambda step: {"type": "integer", "minimum": 10, "maximum": 20, "multipleOf": step}),
    st.sampled_from(PATTERNS).map(lambda pattern: {"type": "string", "pattern": pattern}),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {"const": 7}, {}]),
    st.sampled_from(["date-time", "uuid", "date"]).map(lambda name: {"type": "string", "format": name}),
    st.lists(st.text(max_size=5) | st.integers(), min_size=1, max_size=4).map(lambda values: {"enum": values}),
    st.just({"$ref": "#/$defs/shared"}),
    st.just({"$ref": "#/$defs/tree"}),
)
SCHEMAS = st.recursive(
    SCALARS,
    lambda members: st.one_of(
        objects(members), arrays(members), st.lists(members, min_size=1, max_size=3).map(lambda some: {"anyOf": some})
    ),
    max_leaves=12,
)
DEFINITIONS = {
    "shared": {"type": "string", "enum": ["one", "two"]},
    "tree": {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "left": {"anyOf": [{"$ref": "#/$defs/tree"}, {"type": "null"}]},
            "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 3},
        },
        "required": ["name", "left", "children"],
        "additionalProperties": False,
    },
}


def validate(value: Any, schema: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator
    validator(schema, format_checker=validator.FORMAT_CHECKER).validate(value)


@settings(max_examples=400, deadline=None)
@given(objects(SCHEMAS))
def test_whatever_the_schema_the_answer_is_valid(schema: dict[str, Any]) -> None:
    whole = {**schema, "$defs": DEFINITIONS}
    validate(Filler(whole, facts=KNOWN_FACTS).fill(), whole)


def facts_schema(**members: Any) -> dict[str, Any]:
    properties = {
        "fact_key": {"type": "string"},
        "value": {"type": "string"},
        "confidence": {"type": "integer", "minimum": 0, "maximum": 100},
        "evidence_ids": {"type": "array", "items": {"type": "string"}, "minItems": 1},
        "quote": {"type": "string"},
        **members,
    }
    item = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    facts = {"type": "array", "items": item, "maxItems": 10}
    return {"type": "object", "properties": {"facts": facts}, "required": ["facts"], "additionalProperties": False}


def test_cited_facts_go_in_as_they_are() -> None:
    assert Filler(facts_schema(), facts=KNOWN_FACTS).fill() == {"facts": KNOWN_FACTS}


def test_without_facts_there_are_none() -> None:
    assert Filler(facts_schema()).fill() == {"facts": []}


@pytest.mark.parametrize(
    "narrow",
    [
        {"fact_key": {"enum": ["species"]}},
        {"value": {"type": "string", "maxLength": 5}},
        {"confidence": {"type": "integer", "minimum": 80}},
        {"quote": {"type": "string", "pattern": "^He"}},
        {"evidence_ids": {"type": "array", "items": {"type": "string", "enum": ["a"]}}},
    ],
)
def test_a_fact_that_does_not_fit_is_left_out(narrow: dict[str, Any]) -> None:
    assert Filler(facts_schema(**narrow), facts=KNOWN_FACTS).fill() == {"facts": KNOWN_FACTS[:1]}


def test_facts_of_kinds_that_no_rule_knows_are_shown_by_one_plain_citation() -> None:
    citation = {"evidence_ids": ["z"], "quote": "It rained."}
    schema = facts_schema(fact_key={"enum": ["removed", "renamed"]})
    (fact,) = Filler(schema, citation=citation).fill()["facts"]
    assert (fact["fact_key"], fact["quote"]) == ("removed", "It rained.")


def test_members_that_no_fact_knows_are_filled() -> None:
    schema = facts_schema(mood={"type": "string", "enum": ["calm"]})
    assert [fact["mood"] for fact in Filler(schema, facts=KNOWN_FACTS).fill()["facts"]] == ["calm", "calm"]


def test_no_more_facts_than_the_array_may_hold() -> None:
    schema = facts_schema()
    schema["properties"]["facts"]["maxItems"] = 1
    assert Filler(schema, facts=KNOWN_FACTS).fill() == {"facts": KNOWN_FACTS[:1]}


def test_a_required_cited_object_gets_a_plain_citation() -> None:
    schema = facts_schema()["properties"]["facts"]["items"]
    citation = {"evidence_ids": ["z"], "quote": "It rained."}
    filled = Filler(schema, citation=citation).fill()
    assert {name: filled[name] for name in citation} == citation


@pytest.mark.parametrize("items", [{"type": "integer"}, {"type": "string", "maxLength": 15}, {"enum": [1, 2, 3]}])
def test_unique_items_differ(items: dict[str, Any]) -> None:
    schema = {"type": "array", "items": items, "minItems": 3, "uniqueItems": True}
    validate(Filler(schema).fill(), schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/missing"},
        {"$ref": "https://example.org/schema"},
        {"$ref": "#"},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "string", "pattern": "(?=a)"},
        {"type": "string", "minLength": 3, "maxLength": 2},
        {"type": "integer", "minimum": 3, "maximum": 2},
        {"type": "colour"},
        {"enum": []},
        {"type": "array", "items": {"enum": [1]}, "minItems": 2, "uniqueItems": True},
        {"type": "object", "required": ["a"], "additionalProperties": False},
        {"type": "object", "properties": {"a": True}, "required": ["a"]},
    ],
)
def test_what_cannot_be_filled_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(UnfillableSchema):
        Filler(schema).fill()


def test_a_schema_that_would_grow_for_ever_is_refused_soon() -> None:
    wide = {"type": "object", "properties": {f"p{n}": {"$ref": "#/$defs/wide"} for n in range(10)}}
    wide["required"] = list(wide["properties"])
    with pytest.raises(UnfillableSchema, match="never ends"):
        Filler({"$ref": "#/$defs/wide", "$defs": {"wide": wide}}).fill()


@given(st.sampled_from(PATTERNS), st.integers(0, 20))
def test_a_text_for_a_pattern_matches_it(pattern: str, min_length: int) -> None:
    try:
        text = shortest_match(pattern, min_length=min_length)
    except PatternRefused:
        assert pattern in [*PATTERNS[1:3], PATTERNS[6]]
        return
    assert re.search(pattern, text)
    assert len(text) >= min_length


@given(st.text(alphabet=r"ab[]()|*+?{}^$\.,1d", max_size=12))
def test_any_text_as_a_pattern_is_answered_or_refused(pattern: str) -> None:
    try:
        re.compile(pattern)
    except (re.error, FutureWarning):  # what Python may read otherwise one day ("[["), is no simple pattern either
        return
    with suppress(PatternRefused):
        assert re.search(pattern, shortest_match(pattern))
