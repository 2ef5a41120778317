"""Every step of docs/interrogations.md works as it is written there."""

import json
import re
from pathlib import Path

import pytest

from derive.contracts import Bounds, JobInput
from derive.errors import ConfigurationError
from derive.evidence.bundle import build_bundle
from derive.evidence.redaction import Redactor
from derive.evidence.references import parse_evidence_refs
from derive.evidence.sources import SourceText
from derive.facts.terms import OnBadFact
from derive.interrogations.registry import Registry

GUIDE = (Path(__file__).parents[2] / "docs" / "interrogations.md").read_text(encoding="utf-8")
BLOCKS = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    package = tmp_path / "planet_climate"
    package.mkdir()
    for name in ("output.py", "prompt.md", "rubric.md"):
        (package / name).write_text(BLOCKS[name], encoding="utf-8")
    return tmp_path


def test_the_guides_interrogation_loads_without_a_finding_and_judges_an_answer(folder: Path) -> None:
    registry = Registry.load(folder)
    climate = registry.get("planet_climate")
    assert climate.warnings == ()
    job_input = {"entity_type": "planet", "entity_id": "hoth"}
    registry.check(JobInput(interrogation_key="planet_climate", input_json='{"entity_type":"planet","entity_id":"x"}'))
    sources = [SourceText(evidence_id="e1", source_uri=None, text="Hoth is a world of ice, and its days are short.")]
    bundle = build_bundle(sources, bounds=climate.bounds, redactor=Redactor(), delimiter_key=b"key")
    prompt = climate.definition.render(input=job_input, bundle=bundle)
    assert 'The planet is the planet "hoth".' in prompt
    assert "$" not in prompt.replace(climate.definition.canonical_schema_json, "")
    good = '{"climates":[{"climate":"ice","confidence":95,"evidence_ids":["e1"],"quote":"a world of ice"}]}'
    assert climate.definition.validate(good, bundle, output_model=climate.output_model).valid
    bad = climate.definition.validate(good.replace("a world", "A world"), bundle, output_model=climate.output_model)
    assert not bad.valid


def test_the_guides_optional_names_work(folder: Path) -> None:
    output = folder / "planet_climate" / "output.py"
    output.write_text(BLOCKS["output.py"] + "\n" + BLOCKS["optional"], encoding="utf-8")
    (folder / "planet_climate" / "prompt.md").write_text("$planet $evidence", encoding="utf-8")
    climate = Registry.load(folder).get("planet_climate")
    assert climate.bounds == Bounds(max_items=10, max_item_bytes=4_096, max_total_bytes=16_384)
    assert climate.on_bad_fact is OnBadFact.KEEP
    assert climate.definition.fact_rules.many == {"climate"}
    assert set(climate.input_model.model_fields) == {"planet"}


def test_the_guides_interrogation_without_python_is_the_same(folder: Path) -> None:
    in_code = Registry.load(folder).get("planet_climate")
    plain = folder / "planet_climate"
    (plain / "output.py").unlink()
    (plain / "schema.json").write_text(BLOCKS["schema.json"], encoding="utf-8")
    in_files = Registry.load(folder).get("planet_climate")
    assert in_files.warnings == ()
    assert in_files.definition.fact_rules == in_code.definition.fact_rules
    (plain / "interrogation.toml").write_text(BLOCKS["interrogation.toml"], encoding="utf-8")
    (plain / "prompt.md").write_text("$planet $evidence", encoding="utf-8")
    climate = Registry.load(folder).get("planet_climate")
    assert climate.bounds == Bounds(max_items=10, max_item_bytes=4_096, max_total_bytes=16_384)
    assert climate.on_bad_fact is OnBadFact.KEEP
    assert climate.definition.fact_rules.many == {"climate"}


def test_the_guides_declarations_say_how_facts_are_judged(folder: Path) -> None:
    output = folder / "planet_climate" / "output.py"
    ships = "\n\nclass Output(BaseModel):\n    ships: Annotated[list[Ship], Field(max_length=5)]\n"
    output.write_text(BLOCKS["declared"] + '\nVERSION = "1.0.0"\n' + ships, encoding="utf-8")
    definition = Registry.load(folder).get("planet_climate").definition
    assert set(definition.fact_rules.proofs["ships", "*"]) == {"length", "status"}
    evidence = SourceText(evidence_id="e1", source_uri=None, text="The 1.2 km long Lantern was destroyed at Hoth.")
    bundle = build_bundle([evidence], bounds=Bounds(), redactor=Redactor(), delimiter_key=b"key")
    quote = "1.2 km long Lantern was destroyed"
    ship = {"confidence": 90, "evidence_ids": ["e1"], "length": 1200, "quote": quote, "remark": "", "status": "lost"}
    verdicts = []
    for change in ({}, {"length": 1300}, {"status": "active"}):
        (fact,) = definition.validate(json.dumps({"ships": [ship | change]}), bundle).facts
        verdicts.append((fact.verdict.value, fact.proof))
    assert verdicts[:2] == [("SUPPORTED", "number"), ("REFUTED", "number")]
    assert verdicts[2][0] != "SUPPORTED"


def test_what_is_declared_wrongly_is_refused(folder: Path) -> None:
    output = folder / "planet_climate" / "output.py"
    for wrong, why in (
        ('"proof": "numbre"', "there is no proof rule 'numbre'; there are: number, date"),
        ('"unit": "parsnips"', "'parsnips' is no known unit"),
        ('"synonyms": {"a": "b"}', "synonyms must map each choice to a list of words"),
    ):
        declared = f"Field(json_schema_extra={{{wrong}}})"
        output.write_text(
            BLOCKS["output.py"].replace("max_length=100)]", f"max_length=100), {declared}]", 1), encoding="utf-8"
        )
        with pytest.raises(ConfigurationError, match=re.escape(why)):
            Registry.load(folder).get("planet_climate")
    for wrong, why in (
        ('ON_BAD_FACT = "ignore"', "ON_BAD_FACT must be one of ask_again, keep, strict, not 'ignore'"),
        ("MANY = 'alias'", "MANY must be a set of fact keys, not 'alias'"),
    ):
        output.write_text(f"{BLOCKS['output.py']}\n{wrong}\n", encoding="utf-8")
        with pytest.raises(ConfigurationError, match=re.escape(why)):
            Registry.load(folder).get("planet_climate")


def test_the_guides_references_are_understood() -> None:
    assert len(parse_evidence_refs(BLOCKS["evidence_ref_json"]).items) == 5


def test_the_guide_states_the_actual_limits() -> None:
    bounds = Bounds()
    told = f"{bounds.max_items} items, {bounds.max_item_bytes:,} bytes each, {bounds.max_total_bytes:,} in total"
    assert told in GUIDE
