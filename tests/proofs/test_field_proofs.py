"""What an output model declares about its members' proofs is read from its JSON schema."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from derive.interrogations.sw_entity_facts_v1.output import Output
from derive.proofs import Verdict, judge, path_in_schema, read_field_proofs
from derive.proofs.fields import FieldProof


class Person(BaseModel):
    evidence_ids: list[str]
    quote: str
    value: str
    height: Annotated[float | None, Field(json_schema_extra={"proof": "number", "unit": "m"})] = None
    status: Annotated[
        Literal["married", "single"], Field(json_schema_extra={"synonyms": {"single": ["unmarried", "never married"]}})
    ]
    note: str


class Ship(BaseModel):
    evidence_ids: list[str]
    quote: str
    value: Annotated[str, Field(json_schema_extra={"proof": "none"})]
    crew: Annotated[int, Field(json_schema_extra={"proof": "number"})]


class Answer(BaseModel):
    people: list[Person]
    ship: Ship | None


PROOFS = read_field_proofs(Answer.model_json_schema())


def test_each_kind_of_cited_object_has_its_own_members() -> None:
    assert set(PROOFS) == {("people", "*"), ("ship",)}
    assert set(PROOFS["people", "*"]) == {"value", "height", "status"}
    assert set(PROOFS[("ship",)]) == {"crew"}


def test_a_member_declares_rule_unit_and_choices() -> None:
    people = PROOFS["people", "*"]
    assert people["value"] == FieldProof()
    assert people["height"] == FieldProof(proof="number", unit="m")
    assert people["status"].choices == {"married": (), "single": ("unmarried", "never married")}


def test_what_is_declared_decides_how_a_value_is_judged() -> None:
    people = PROOFS["people", "*"]
    assert judge(1.72, "She is 172 cm tall.", people["height"].context(key="height")).verdict is Verdict.SUPPORTED
    single = judge("single", "She was never married.", people["status"].context(key="status"))
    assert (single.verdict, single.proof) == (Verdict.SUPPORTED, "choice")


def test_a_place_in_an_answer_leads_to_its_members() -> None:
    assert path_in_schema(("people", 3)) == ("people", "*")
    assert path_in_schema(("ship",)) in PROOFS


def test_the_built_in_interrogations_facts_are_judged_by_their_value() -> None:
    assert read_field_proofs(Output.model_json_schema()) == {("facts", "*"): {"value": FieldProof()}}


def test_a_schema_that_contains_itself_has_an_end() -> None:
    tree = {
        "$defs": {
            "Node": {
                "type": "object",
                "properties": {
                    "quote": {},
                    "evidence_ids": {},
                    "value": {"$ref": "#/$defs/Node"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
                },
            }
        },
        "$ref": "#/$defs/Node",
    }
    assert () in read_field_proofs(tree)


def test_odd_schemas_declare_nothing() -> None:
    for schema in ({}, {"properties": 3}, {"$defs": [], "$ref": "#/$defs/X"}, {"items": [1]}, {"anyOf": "x"}):
        assert read_field_proofs(schema) == {}
