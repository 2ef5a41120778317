"""Interrogations written without Python: what they may say, and what is refused with the file's name."""

import json
from pathlib import Path
from typing import Any

import pytest

from derive.contracts import Bounds
from derive.errors import ConfigurationError, InvalidInput
from derive.facts.terms import OnBadFact
from derive.interrogations.envelope import EntityInput
from derive.interrogations.loaded_interrogation import LoadedInterrogation, LongEvidence
from derive.interrogations.packages import load_from_folder
from derive.interrogations.plain_folder import MAX_BYTES, MAX_DEPTH
from derive.interrogations.registry import Registry
from tests.unit.test_interrogation_registry import OUTPUT, job

TEXT = {"type": "string", "minLength": 1, "maxLength": 200}
FACT = {
    "type": "object",
    "additionalProperties": False,
    "required": ["evidence_ids", "fact_key", "quote", "value"],
    "properties": {
        "evidence_ids": {"type": "array", "items": TEXT, "minItems": 1, "maxItems": 5},
        "fact_key": TEXT,
        "quote": TEXT,
        "value": {**TEXT, "proof": "words"},
    },
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["facts"],
    "properties": {"facts": {"type": "array", "items": {"$ref": "#/$defs/Fact"}, "maxItems": 20}},
    "$defs": {"Fact": FACT},
}
PROMPT = "$rubric\n$schema\nWhat is said about $entity_id?\n$evidence\n"
SETTINGS = """
version = "2.1.0"
many = ["alias"]
on_bad_fact = "keep"
long_evidence = "split"

[bounds]
max_items = 3

[input]
type = "object"
required = ["planet"]
additionalProperties = false

[input.properties.planet]
type = "string"
maxLength = 20
"""


def folder_of(tmp_path: Path, *, schema: object = SCHEMA, settings: str | None = None, prompt: str = PROMPT) -> Path:
    folder = tmp_path / "mood"
    folder.mkdir(exist_ok=True)
    (folder / "prompt.md").write_text(prompt)
    (folder / "rubric.md").write_text("Be brief.\n")
    (folder / "schema.json").write_text(schema if isinstance(schema, str) else json.dumps(schema))
    if settings is not None:
        (folder / "interrogation.toml").write_text(settings)
    return folder


def test_three_files_without_python_are_an_interrogation(tmp_path: Path) -> None:
    loaded = load_from_folder(folder_of(tmp_path))
    assert (loaded.key, loaded.version, loaded.input_model, loaded.output_model) == ("mood", "1.0.0", EntityInput, None)
    assert loaded.definition.output_schema == SCHEMA
    assert loaded.warnings == ()
    assert loaded.definition.fact_rules.proofs


def test_the_settings_are_what_output_py_declares(tmp_path: Path) -> None:
    loaded = load_from_folder(folder_of(tmp_path, settings=SETTINGS, prompt=PROMPT.replace("entity_id", "planet")))
    assert (loaded.version, loaded.on_bad_fact, loaded.long_evidence) == (
        "2.1.0",
        OnBadFact.KEEP,
        LongEvidence.SPLIT,
    )
    assert loaded.bounds == Bounds(max_items=3)
    assert loaded.definition.output_schema["many"] == ["alias"]


def test_the_input_is_checked_against_its_schema(tmp_path: Path) -> None:
    loaded = load_from_folder(folder_of(tmp_path, settings=SETTINGS, prompt=PROMPT.replace("entity_id", "planet")))
    registry = Registry([loaded])

    def check(**members: object) -> None:
        registry.check(job("mood").model_copy(update={"input_json": json.dumps(members)}))

    check(planet="Hoth")
    with pytest.raises(InvalidInput, match="input of mood: the whole: the answer lacks planet"):
        check()
    with pytest.raises(InvalidInput, match="planet has 21 characters"):
        check(planet="x" * 21)
    with pytest.raises(InvalidInput, match="members that the schema does not name"):
        check(planet="Hoth", moon="none")
    assert loaded.input_model.model_json_schema()["required"] == ["planet"]


def test_the_schema_alone_judges_an_answer(tmp_path: Path) -> None:
    loaded: LoadedInterrogation = load_from_folder(folder_of(tmp_path))
    assert loaded.definition.answer_schema.find_faults({"facts": []}) == ()
    assert loaded.definition.answer_schema.find_faults({"facts": [{"value": "x"}]})


LOOP = {**SCHEMA, "$defs": {"Fact": {"$ref": "#/$defs/Other"}, "Other": {"$ref": "#/$defs/Fact"}}}
DEEP = json.dumps({"type": "object", "properties": {}})[:-1] + ', "x": ' + "[" * MAX_DEPTH + "]" * MAX_DEPTH + "}"


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"schema": "{"}, "schema.json is not JSON"),
        ({"schema": "[]"}, "must be an object"),
        ({"schema": '{"type": "object", "type": "object"}'}, "a key occurs twice"),
        ({"schema": {"type": "nonsense"}}, "schema.json is not a JSON schema"),
        ({"schema": {"type": "array", "items": TEXT, "maxItems": 2}}, "the answer is not an object"),
        ({"schema": {**SCHEMA, "$defs": {}}}, "Pointer '/\\$defs/Fact' does not exist"),
        ({"schema": LOOP}, "only refers to itself"),
        ({"schema": DEEP}, "nested more than"),
        ({"schema": "[" * 100_000}, "nested too deeply"),
        ({"schema": " " * (MAX_BYTES + 1)}, "larger than"),
        ({"settings": "version = 1"}, "interrogation.toml: version"),
        ({"settings": 'version = "one"'}, 'interrogation.toml: VERSION must be a text like "1.0.0"'),
        ({"settings": "version ="}, "interrogation.toml is not TOML"),
        ({"settings": 'colour = "red"'}, "interrogation.toml: colour"),
        ({"settings": 'on_bad_fact = "shrug"'}, "ON_BAD_FACT must be one of"),
        ({"settings": "[bounds]\nmax_items = 0"}, "interrogation.toml: bounds.max_items"),
        ({"settings": '[input]\ntype = "string"'}, "must be the schema of an object"),
        ({"settings": '[input]\ntype = "object"\n[input.properties]\nplanet = true'}, "input.properties.planet"),
        ({"settings": '[input]\ntype = "object"\n[input.properties.evidence]\ntype = "string"'}, "is called like a"),
        ({"prompt": "no evidence"}, "\\$evidence stands 0 times"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else "",
)
def test_a_bad_folder_is_refused_by_the_name_of_its_file(tmp_path: Path, files: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        load_from_folder(folder_of(tmp_path, **files))


def test_a_folder_with_both_forms_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path)
    (folder / "output.py").write_text(OUTPUT)
    with pytest.raises(ConfigurationError, match=r"holds both output\.py and schema\.json"):
        load_from_folder(folder)


def test_a_pattern_that_would_backtrack_for_ever_ends(tmp_path: Path) -> None:
    slow = {**TEXT, "pattern": "^(a+)+$"}
    schema = {**SCHEMA, "$defs": {"Fact": {**FACT, "properties": {**FACT["properties"], "value": slow}}}}  # type: ignore[dict-item]
    loaded = load_from_folder(folder_of(tmp_path, schema=schema))
    fact = {"evidence_ids": ["e"], "fact_key": "k", "quote": "q", "value": "a" * 150 + "b"}
    assert loaded.definition.answer_schema.find_faults({"facts": [fact]})
