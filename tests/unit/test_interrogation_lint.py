"""The lint knows what Ollama's grammar enforces, ignores and refuses, and what a prompt may place."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derive.interrogations.answer_schema import AnswerSchema
from derive.interrogations.lint import LintFinding, lint_order, lint_prompt, lint_schema
from derive.interrogations.patterns import refused_escapes, wire_pattern


def closed(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    } | more


def findings(member: Any, **more: Any) -> list[LintFinding]:
    return list(lint_schema(closed({"x": member}, **more)))


ENFORCED: list[dict[str, Any]] = [
    {"enum": ["a", "b"], "type": "string"},
    {"const": "a"},
    {"type": "integer", "minimum": 0, "maximum": 100},
    {"type": "integer", "minimum": 0},
    {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 9},
    {"oneOf": [{"type": "boolean"}, {"type": "null"}]},
    {"$ref": "#/$defs/R"},
    {"$ref": "#/$defs/T", "description": "a note"},
    {"type": "string", "maxLength": 1999},
    {"type": "string", "pattern": "^(?:ab|cd){1,3}$", "maxLength": 9},
    {"type": "string", "pattern": r"^\.\(\$\[x\]\n$", "maxLength": 9},
    {"type": "array", "maxItems": 1998, "items": {"type": "boolean"}},
    {"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}]},
    {"type": ["boolean", "null"]},
    {"$ref": "#/$defs/T"},
    {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "boolean"}},
    {"type": "string", "maxLength": 1000},
    {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,40}$", "maxLength": 41},
    {"type": "string", "pattern": "^(a|b)-[0-9]{2}$", "maxLength": 9},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "uuid"},
    closed({"a": {"type": "boolean"}, "b": {"type": "boolean"}}),
]


@pytest.mark.parametrize("member", ENFORCED, ids=str)
def test_what_the_grammar_enforces_is_let_pass(member: dict[str, Any]) -> None:
    nested = closed({"r": {"type": "array", "maxItems": 2, "items": {"$ref": "#/$defs/R"}}})
    assert findings(member, **{"$defs": {"R": nested, "T": {"type": "boolean"}}}) == []


NOT_ENFORCED: list[tuple[dict[str, Any], str]] = [
    ({"type": "number"}, "-5E9028"),
    ({"type": "number", "minimum": 0, "maximum": 1}, "minimum, maximum of a number is not enforced"),
    ({"type": "string", "maxLength": 2001}, "maxLength over 1999"),
    ({"type": "array", "maxItems": 2002, "items": {"type": "boolean"}}, "maxItems over 1998"),
    ({"$ref": "#/properties/x", "maxLength": 3}, "maxLength beside $ref"),
    ({"type": "integer", "minimum": 1, "multipleOf": 2}, "multipleOf is not enforced"),
    ({"type": "string"}, "text without an end"),
    ({"type": "string", "pattern": "^(?!x)[a-z]+$", "maxLength": 9}, "look-arounds"),
    ({"type": "string", "format": "uri", "maxLength": 9}, "format uri"),
    ({"type": "array", "uniqueItems": True, "maxItems": 2, "items": {"type": "boolean"}}, "uniqueItems"),
    ({"type": "array", "items": {"type": "boolean"}}, "without an end"),
    ({"type": "array", "maxItems": 2}, "may be anything"),
    (closed({}, **{"if": {"type": "object"}}), "if is not enforced"),
    (closed({}, patternProperties={"^a": {"type": "boolean"}}), "patternProperties"),
    (closed({"a": {"type": "boolean"}}, anyOf=[{"const": 1}]), "properties beside anyOf"),
    (closed({"a": {"type": "boolean"}}, required=[]), "not required"),
    (closed({"a": {"type": "boolean"}}, additionalProperties=True), "the object is open"),
    (closed({"a": {"type": "boolean"}}, additionalProperties={"type": "boolean"}), "the object is open"),
    (closed({"b": {"type": "boolean"}, "a": {"type": "boolean"}}), "alphabetical"),
    ({"type": "integer"}, "without bounds"),
    ({}, "anything at all"),
    ({"type": "array", "maxItems": 1, "items": {"anyOf": [{"type": "number"}]}}, "-5E9028"),
]


@pytest.mark.parametrize(("member", "problem"), NOT_ENFORCED, ids=str)
def test_what_is_silently_not_enforced_is_a_warning_with_another_way(member: dict[str, Any], problem: str) -> None:
    found = [finding for finding in findings(member) if problem in finding.problem]
    assert len(found) == 1
    assert found[0].level == "warning"
    assert found[0].path.startswith("#/properties/x")
    assert found[0].instead


REFUSED: list[tuple[Any, str]] = [
    (True, "schema true"),
    (False, "schema false"),
    ({"type": "array", "maxItems": 1, "items": True}, "schema true"),
    ({"$ref": "#/$defs/missing"}, "does not exist"),
    ({"$ref": "https://example.org/schema.json"}, "leaves the schema"),
    ({"$ref": "other.json#/x"}, "leaves the schema"),
    ({"$dynamicRef": "#x"}, "plain local references"),
    ({"$ref": "#"}, "the whole schema"),
    ({"$ref": "#/$defs/a~1b"}, "an escaped name"),
    ({"$ref": "#/$defs/a%20b"}, "an escaped name"),
    ({"type": "array", "minItems": 3, "maxItems": 2, "items": {"type": "boolean"}}, "minItems over maxItems"),
    ({"type": "string", "minLength": 3, "maxLength": 2}, "minLength over maxLength"),
    ({"type": "integer", "minimum": 3, "maximum": 2}, "no number fits"),
    ({"type": "string", "maxLength": 2000}, "maxLength 2000 is refused"),
    ({"type": "array", "maxItems": 1999, "items": {"type": "integer", "minimum": 0}}, "maxItems 1999 is refused"),
    ({"type": "array", "maxItems": 2001, "items": {"type": "integer", "minimum": 0}}, "maxItems 2001 is refused"),
    (closed({"a": {"type": "boolean"}}, required=["a", "b"]), "requires b"),
    ({"enum": []}, "enum is empty"),
    ({"anyOf": []}, "anyOf is empty"),
    ({"type": []}, "type is empty"),
    ({"type": "text"}, "no type text"),
    ({"type": "string", "pattern": "[a-z]+", "maxLength": 9}, "not anchored"),
    ({"type": "string", "pattern": "^x{2000}$"}, "1999 repetitions"),
    ({"type": "string", "pattern": r"^\d{5}$", "maxLength": 9}, r"\d in a pattern"),
    ({"type": "string", "pattern": r"^[\w.]+$", "maxLength": 9}, r"\w in a pattern"),
    ({"type": "string", "pattern": r"^\s[\s]\b$", "maxLength": 9}, r"\s \b in a pattern"),
    ({"type": "string", "pattern": r"^a\/b\-c$", "maxLength": 9}, r"\/ \- in a pattern"),
    ({"type": "string", "pattern": r"^[\.]$", "maxLength": 9}, r"\. in a pattern"),
    ({"type": "string", "pattern": "^($", "maxLength": 9}, "no expression"),
]


@pytest.mark.parametrize(("member", "problem"), REFUSED, ids=str)
def test_what_the_server_refuses_is_an_error(member: Any, problem: str) -> None:
    found = [finding for finding in findings(member) if problem in finding.problem]
    assert [finding.level for finding in found] == ["error"]


NODE = closed({"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}})
OBJECTS: list[dict[str, Any]] = [
    {"properties": {"a": {"type": "boolean"}}, "required": ["a"], "additionalProperties": False},
    {"$ref": "#/$defs/Node", "$defs": {"Node": NODE}},
    {"anyOf": [closed({"a": {"type": "boolean"}}), {"$ref": "#/$defs/Node"}], "$defs": {"Node": NODE}},
]


@pytest.mark.parametrize("schema", OBJECTS)
def test_a_root_that_is_an_object_in_other_words_is_let_pass(schema: dict[str, Any]) -> None:
    assert lint_schema(schema) == ()


@pytest.mark.parametrize(
    ("pattern", "wire"),
    [
        (r"^\d{5}$", "^[0-9]{5}$"),
        (r"^[\d.]+$", "^[0-9.]+$"),
        (r"^\D\W$", "^[^0-9][^A-Za-z0-9_]$"),
        (r"^\w[\w\-.]*$", "^[A-Za-z0-9_][A-Za-z0-9_.-]*$"),
        (r"^a\/b\-c$", "^a/b-c$"),
        (r"^[\.\+\]\\]$", r"^[.+\]\\]$"),
        (r"^\.\\d$", r"^\.\\d$"),
        (r"^[\D\s]\s$", r"^[\D\s]\s$"),
        ("^[0-9]{5}$", "^[0-9]{5}$"),
        ("^\\", "^\\"),
    ],
)
def test_a_pattern_is_written_for_the_wire_where_that_is_the_same(pattern: str, wire: str) -> None:
    assert wire_pattern(pattern) == wire


ATOMS = st.sampled_from([r"\d", r"\w", r"\D", r"\/", r"\-", r"\.", "a", "é", "٣", "[ab]", r"[\d\-x]", r"[^\w\.]", "-"])


@given(st.lists(ATOMS, min_size=1, max_size=4), st.text("aé٣5-/._x ", max_size=4))
def test_a_rewritten_pattern_matches_the_same_texts(atoms: list[str], text: str) -> None:
    pattern = f"^{''.join(atoms)}$"
    before, after = (AnswerSchema({"pattern": one}).find_faults(text) == () for one in (pattern, wire_pattern(pattern)))
    assert before == after
    assert refused_escapes(wire_pattern(pattern)) == []


@pytest.mark.parametrize("schema", [{"type": "array"}, {"type": "string"}, True, [], {}])
def test_an_answer_that_is_no_object_is_an_error(schema: Any) -> None:
    assert [finding.level for finding in lint_schema(schema)] == ["error"]


def test_a_finding_in_a_definition_names_its_place() -> None:
    (finding,) = lint_schema(closed({}, **{"$defs": {"a/b": {"type": "number"}}}))
    assert finding.path == "#/$defs/a~1b"


@pytest.mark.parametrize(("beginning", "is_good"), [(49, False), (50, True), (100, True)])
def test_a_prompt_whose_smaller_half_comes_before_what_differs_is_warned_of(beginning: int, is_good: bool) -> None:
    found = lint_order(beginning, 100)
    assert (found == ()) is is_good
    assert all(one.level == "warning" and "$schema first" in one.instead for one in found)


def test_a_good_prompt_has_no_findings() -> None:
    assert lint_prompt("$entity_id ${schema} $rubric $input $$ $evidence", input_names=["entity_id"]) == ()


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("nothing", "$evidence stands 0 times"),
        ("$evidence $evidence", "$evidence stands 2 times"),
        ("$$evidence", "$evidence stands 0 times"),
        ("$evidence costs $ 5", "a $ that begins no placeholder"),
        ("$evidence ${", "a $ that begins no placeholder"),
        ("$evidence $entity", "unknown placeholder $entity"),
        ("$evidence " + "x" * 50_000, "over 50000"),
    ],
)
def test_a_prompt_that_cannot_be_rendered_is_an_error(template: str, problem: str) -> None:
    (finding,) = lint_prompt(template, input_names=["entity_id"])
    assert finding.level == "error"
    assert problem in finding.problem


def test_an_unknown_placeholder_lists_those_there_are_and_its_line() -> None:
    (finding,) = lint_prompt("$evidence\n\n$entity", input_names=["entity_id", "entity_type"])
    assert finding.path == "prompt.md line 3"
    assert finding.instead == "there are: $evidence, $schema, $rubric, $input, $entity_id, $entity_type"


def test_an_input_that_hides_a_placeholder_is_an_error() -> None:
    (finding,) = lint_prompt("$evidence", input_names=["schema"])
    assert "'schema'" in finding.problem
