"""What the quick yes lets pass, jsonschema lets pass too."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.interrogations.answer_schema import AnswerSchema
from derive.interrogations.registry import Registry
from derive.interrogations.schema_inlining import with_definitions_in_place
from derive.interrogations.sure_fit import sure_fit

SMALL = st.integers(0, 3)
TEXTS = st.text(alphabet=st.sampled_from(["a", "b", "\n", "ä"]), max_size=4)
STRINGS = st.fixed_dictionaries(
    {"type": st.just("string")},
    optional={"minLength": SMALL, "maxLength": SMALL, "pattern": st.sampled_from(["^a+$", "^a", "b$", r"a\$", "["])},
)
NUMBERS = st.fixed_dictionaries(
    {"type": st.sampled_from(["integer", "number"])}, optional={"minimum": SMALL, "maximum": SMALL}
)
CONSTANTS = st.fixed_dictionaries({"type": st.sampled_from(["boolean", "null"])}, optional={"title": TEXTS})
CHOICES = st.fixed_dictionaries({"enum": st.lists(TEXTS, min_size=1, max_size=3)}, optional={"type": st.just("string")})
NAMES = st.sampled_from(["a", "b", "c"])


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    arrays = st.fixed_dictionaries(
        {"type": st.just("array")}, optional={"items": inner, "minItems": SMALL, "maxItems": SMALL}
    )
    objects = st.fixed_dictionaries(
        {"type": st.just("object"), "additionalProperties": st.just(False)},
        optional={"properties": st.dictionaries(NAMES, inner, max_size=3), "required": st.lists(NAMES, unique=True)},
    )
    return arrays | objects | st.fixed_dictionaries({"anyOf": st.lists(inner, min_size=1, max_size=3)})


SCHEMAS = st.recursive(STRINGS | NUMBERS | CONSTANTS | CHOICES, nested, max_leaves=6)
ANSWERS = st.recursive(
    st.none() | st.booleans() | SMALL | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


def fitting(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return answers of about the schema's form, so that the yes is met as well as the no."""
    if "anyOf" in schema:
        return st.one_of([fitting(one) for one in schema["anyOf"]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"]) | TEXTS
    if schema["type"] == "array":
        return st.lists(fitting(schema["items"]) if "items" in schema else ANSWERS, max_size=3)
    if schema["type"] == "object":
        return st.fixed_dictionaries({name: fitting(one) for name, one in schema.get("properties", {}).items()})
    kinds: dict[str, st.SearchStrategy[Any]] = {"string": TEXTS, "boolean": st.booleans(), "null": st.none()}
    return kinds.get(schema["type"], SMALL | st.floats(0, 3))


@settings(max_examples=300)
@given(data=st.data(), schema=SCHEMAS)
def test_a_sure_fit_is_one_to_jsonschema(data: st.DataObject, schema: dict[str, Any]) -> None:
    fits = sure_fit(schema)
    answer = data.draw(ANSWERS | fitting(schema))
    if fits is not None and fits(answer):
        judge = AnswerSchema(schema)
        judge._fits = None
        assert judge.find_faults(answer) == ()


FACTS = {
    "type": "object",
    "additionalProperties": False,
    "required": ["facts"],
    "properties": {
        "facts": {
            "type": "array",
            "maxItems": 2,
            "items": {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 3, "pattern": "^a+$"}]},
        },
        "sure": {"type": "integer", "minimum": 0, "maximum": 100},
        "kind": {"enum": ["one", "two"]},
    },
}


@pytest.mark.parametrize("answer", [{"facts": []}, {"facts": [None, "aa"], "sure": 100, "kind": "two"}])
def test_a_plain_answer_is_sure_to_fit(answer: Any) -> None:
    fits = sure_fit(FACTS)
    assert fits is not None
    assert fits(answer)


@pytest.mark.parametrize(
    "answer",
    [
        *([], None, {}, {"facts": None}, {"facts": [], "more": 1}, {"facts": [None] * 3}, {"facts": ["b"]}),
        *({"facts": ["aaaa"]}, {"facts": ["a\n"]}, {"facts": [], "sure": 101}, {"facts": [], "sure": True}),
        *({"facts": [], "kind": "three"}, {"facts": [], "kind": 1}),
    ],
)
def test_what_breaks_a_rule_is_not(answer: Any) -> None:
    fits = sure_fit(FACTS)
    assert fits is not None
    assert not fits(answer)


@pytest.mark.parametrize(
    "schema",
    [
        *(True, {}, {"type": "text"}, {"type": ["string", "null"]}, {"enum": [1]}, {"$ref": "#"}, {"not": {}}),
        *({"type": "object"}, {"type": "object", "additionalProperties": {}}, {"type": "array", "uniqueItems": True}),
        *({"type": "string", "pattern": "["}, {"type": "integer", "multipleOf": 2}, {"type": "string", "items": {}}),
        {"type": "array", "items": {"type": "string", "const": "a"}},
    ],
)
def test_of_a_schema_with_other_rules_it_tells_nothing(schema: Any) -> None:
    assert sure_fit(schema) is None


def test_it_can_tell_of_the_built_in_interrogation() -> None:
    for one in Registry.load(None).all():
        assert sure_fit(with_definitions_in_place(one.definition.output_schema)) is not None
