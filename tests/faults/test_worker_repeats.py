"""Run again: a repeated run asks what was asked, whatever has become of the interrogation since."""

import json
import shutil
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from derive.interrogations import sw_entity_facts_v1
from tests.fake_ollama import behaviours
from tests.faults.worker_world import GOOD_ANSWER, SUCCEEDED, World

KEY = "ship_facts"


@pytest.fixture
def own(world: World, tmp_path: Path) -> World:
    """A world with an interrogation of its own, in its first version."""
    world.interrogations_folder = tmp_path / "interrogations"
    shutil.copytree(Path(sw_entity_facts_v1.__file__).parent, world.interrogations_folder / KEY)
    return world


def move_on(world: World) -> None:
    """Publish another version: another prompt, another rubric, another schema."""
    assert world.interrogations_folder is not None
    folder = world.interrogations_folder / KEY
    prompt = folder / "prompt.md"
    prompt.write_text("Everything is different now.\n\n" + prompt.read_text())
    output = folder / "output.py"
    text = output.read_text()
    assert 'VERSION = "1.2.0"' in text
    assert "MAX_FACTS = 24" in text
    output.write_text(text.replace('VERSION = "1.2.0"', 'VERSION = "2.0.0"').replace("MAX_FACTS = 24", "MAX_FACTS = 3"))


def asked(world: World, run: Any) -> dict[str, Any]:
    request: dict[str, Any] = json.loads(world.file(run, "request.json"))
    return request


def repeat(world: World, run_id: UUID, **values: Any) -> UUID:
    return world.enqueue(interrogation_key=KEY, repeats_run_id=run_id, **values)


def test_evidence_prompt_options_model_and_definition_are_those_of_the_run_repeated(own: World) -> None:
    own.ollama |= {"num_ctx": 6000, "num_predict": 700, "seed": 7, "temperature": 0.5}
    first_job = own.enqueue(interrogation_key=KEY)
    own.work()
    first = own.run(first_job)
    move_on(own)
    own.ollama |= {"num_ctx": 9000, "num_predict": 100, "seed": 8, "temperature": 0.0, "model": "mistral"}
    own.fake.models |= {"mistral:latest": "b" * 64}
    second_job = repeat(own, first.run_id)
    own.work()
    second = own.run(second_job)
    assert (first.status, second.status) == ("SUCCEEDED", "SUCCEEDED")
    assert (second.interrogation_version, second.definition_sha256) == ("1.2.0", first.definition_sha256)
    assert second.evidence_sha256 == first.evidence_sha256
    assert (second.model_name, second.model_tag) == (first.model_name, first.model_tag)
    assert json.loads(second.options_json) == json.loads(first.options_json)
    assert own.file(second, "prompt.txt") == own.file(first, "prompt.txt")
    assert json.loads(own.file(second, "evidence.json")) == json.loads(own.file(first, "evidence.json"))
    assert asked(own, second)["options"] == asked(own, first)["options"]
    assert asked(own, second)["format"] == asked(own, first)["format"]
    own.has_left(second, SUCCEEDED)
    fresh_job = own.enqueue(interrogation_key=KEY)
    own.work()
    assert own.run(fresh_job).interrogation_version == "2.0.0"


def test_a_corrected_run_is_repeated_with_its_correction(own: World) -> None:
    own.fake.next(behaviours.not_the_schema())
    first_job = own.enqueue(interrogation_key=KEY)
    own.work(2)
    corrected = own.run(first_job)
    second_job = repeat(own, corrected.run_id)
    own.work()
    second = own.run(second_job)
    assert own.file(second, "prompt.txt") == own.file(corrected, "prompt.txt")
    own.has_left(second, SUCCEEDED | {"correction.json"})


def test_the_repeated_answer_is_judged_by_the_definition_of_old(own: World) -> None:
    first_job = own.enqueue(interrogation_key=KEY)
    own.work()
    move_on(own)
    own.fake.next(behaviours.answer(json.dumps({"facts": json.loads(GOOD_ANSWER)["facts"] * 4})))
    second_job = repeat(own, own.run(first_job).run_id)
    own.work()
    assert own.job(second_job).status == "SUCCEEDED"


def test_what_was_never_asked_cannot_be_repeated(own: World) -> None:
    failed = own.enqueue(interrogation_key=KEY, input_json='{"entity_type": "character"}')
    own.work()
    jobs = [repeat(own, own.run(failed).run_id), repeat(own, uuid4())]
    own.work(2)
    for job_id in jobs:
        assert (own.job(job_id).status, own.job(job_id).error_kind) == ("FAILED", "invalid_input")


def test_evidence_that_was_changed_since_is_not_repeated(own: World) -> None:
    first_job = own.enqueue(interrogation_key=KEY)
    own.work()
    first = own.run(first_job)
    path = own.lake_root / own.folder(first) / "evidence.json"
    content = path.read_text()
    path.chmod(0o600)
    path.write_text(content.replace("Corvessa", "Corvesso"))
    second_job = repeat(own, first.run_id)
    own.work()
    assert (own.job(second_job).status, own.job(second_job).error_kind) == ("FAILED", "invalid_input")
    assert "has changed since it was stored" in own.job(second_job).last_error
