"""Every step of docs/interrogations.md works as it is written there."""

import re
from pathlib import Path

import pytest

from derive.contracts import Bounds, JobInput
from derive.evidence.bundle import build_bundle
from derive.evidence.redaction import Redactor
from derive.evidence.references import parse_evidence_refs
from derive.evidence.sources import SourceText
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
    bundle = build_bundle(sources, bounds=climate.bounds, redactor=Redactor())
    prompt = climate.definition.render(input=job_input, bundle=bundle)
    assert prompt.startswith('Which climate does the planet "hoth" have?')
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
    assert set(climate.input_model.model_fields) == {"planet"}


def test_the_guides_references_are_understood() -> None:
    assert len(parse_evidence_refs(BLOCKS["evidence_ref_json"]).items) == 5


def test_the_guide_tells_the_bounds_that_hold() -> None:
    bounds = Bounds()
    told = f"{bounds.max_items} items, {bounds.max_item_bytes:,} bytes each, {bounds.max_total_bytes:,} in all"
    assert told in GUIDE
