"""A schema with its definitions in place judges every answer as it did before."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from derive.interrogations.registry import Registry
from derive.interrogations.schema_inlining import with_definitions_in_place

FACT = {"type": "object", "properties": {"of": {"$ref": "#/$defs/Name"}}, "required": ["of"]}
NAME = {"type": "string", "maxLength": 3}


def schema(**members: Any) -> dict[str, Any]:
    return {"$defs": {"Fact": FACT, "Name": NAME}, "type": "object", **members}


FACTS = schema(properties={"facts": {"type": "array", "items": {"$ref": "#/$defs/Fact"}}})
EITHER = schema(additionalProperties={"anyOf": [{"$ref": "#/$defs/Name"}, {"type": "null"}]})
TREE = {
    "$defs": {"Node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "n": {"type": "integer"}}}},
    "$ref": "#/$defs/Node",
}
DATA = schema(properties={"facts": {"const": {"$ref": "#/$defs/Name"}}})
answers = st.recursive(
    st.none() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["facts", "of", "next", "n", "$ref"]), inner, max_size=3)
    ),
)


@pytest.mark.parametrize("given_schema", [FACTS, EITHER, TREE, DATA], ids=["facts", "either", "tree", "data"])
@given(answer=answers)
def test_the_same_answers_are_refused_for_the_same_reasons(given_schema: dict[str, Any], answer: Any) -> None:
    before = Draft202012Validator(given_schema).iter_errors(answer)
    after = Draft202012Validator(with_definitions_in_place(given_schema)).iter_errors(answer)
    assert [(error.message, list(error.absolute_path)) for error in after] == [
        (error.message, list(error.absolute_path)) for error in before
    ]


def test_no_reference_is_left_in_the_built_in_interrogation() -> None:
    for one in Registry.load(None).all():
        built_in = dict(with_definitions_in_place(one.definition.output_schema))
        built_in.pop("$defs", None)
        assert "$ref" not in str(built_in)


def test_a_definition_within_itself_stays_a_reference() -> None:
    assert "$ref" in str(with_definitions_in_place(TREE)["$defs"])


@pytest.mark.parametrize("reference", ["#/$defs/No", "#/$defs/Name/x", "#/properties/facts", "other.json"])
def test_what_leads_elsewhere_is_left_to_the_validator(reference: str) -> None:
    asked = schema(properties={"facts": {"$ref": reference}})
    assert with_definitions_in_place(asked) == asked


def test_a_schema_that_would_grow_without_bound_stays_as_it_is() -> None:
    double = {f"D{n}": {"anyOf": [{"$ref": f"#/$defs/D{n + 1}"}] * 2} for n in range(30)}
    asked = {"$defs": {**double, "D30": NAME}, "properties": {"facts": {"$ref": "#/$defs/D0"}}}
    assert with_definitions_in_place(asked) is asked
