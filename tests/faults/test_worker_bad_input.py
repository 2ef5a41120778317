"""Jobs that cannot be worked, however they came into the queue: a clear error, and what there was is kept."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from derive.evidence.sources import MAX_SOURCE_BYTES
from derive.sql import procedures
from tests.contract.scenes import said
from tests.fake_ollama import FakeOllama
from tests.faults.worker_world import PASSAGE, PREPARED, SUCCEEDED, World, input_json

NOTHING: frozenset[str] = frozenset()


def has_failed(world: World, job_id: Any, error_kind: str, leaves: frozenset[str]) -> str:
    """Check that one run failed the job for good, without asking the model; return what it says."""
    job, (run,) = world.job(job_id), world.runs(job_id)
    assert (job.status, job.error_kind, job.attempt_count) == ("FAILED", error_kind, 1)
    assert (run.status, run.error_kind, run.counted, run.error) == ("FAILED", error_kind, True, job.last_error)
    assert world.fake.chats == []
    world.has_left(run, leaves)
    return str(run.error)


def refs(*items: dict[str, Any]) -> str:
    return json.dumps({"items": items})


def test_an_unknown_interrogation(world: World) -> None:
    job_id = world.enqueue(interrogation_key="sw_entity_fact_v1")
    world.work()
    assert "did you mean sw_entity_facts_v1" in has_failed(world, job_id, "unknown_interrogation", NOTHING)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (input_json(entity_type="weather"), "entity_type"),
        (input_json(entity_name="x"), "entity_name"),
        ('{"entity_type": "character"}', "entity_id"),
        (input_json(extra_params={"evidence": [{"evidence_id": "", "text": "x"}]}), "evidence"),
        ('{"entity_id": 1e999}', "entity_id"),
    ],
    ids=["value", "unknown member", "missing", "evidence", "number"],
)
def test_input_against_its_contract(given: str, says: str, world: World) -> None:
    job_id = world.enqueue(input_json=given)
    world.work()
    assert says in has_failed(world, job_id, "invalid_input", NOTHING)
    assert world.run(job_id).interrogation_version == "1.2.0"


@pytest.mark.parametrize(
    "member", ['"\\u0000"', '"half \\ud800"', '{"\\udfff": 1}'], ids=["U+0000", "surrogate", "in a key"]
)
def test_text_that_cannot_be_stored_come_straight_by_sql(member: str, world: World) -> None:
    given = input_json()[:-1] + f', "source_refs": [{member}]}}'
    ((job_id, _, _),) = said(
        procedures.ENQUEUE_JOB, interrogation_key="sw_entity_facts_v1", input_json=given, actor="somebody"
    )
    world.work()
    error = has_failed(world, job_id, "invalid_input", NOTHING)
    assert "U+0000" in error or "surrogate" in error


def test_references_that_cannot_be_stored_come_straight_by_sql(world: World) -> None:
    ((job_id, _, _),) = said(
        procedures.ENQUEUE_JOB,
        interrogation_key="sw_entity_facts_v1",
        input_json=input_json(),
        evidence_ref_json='{"items": [{"text": "\\u0000"}]}',
        actor="somebody",
    )
    world.work()
    has_failed(world, job_id, "invalid_input", NOTHING)


@pytest.mark.parametrize("text", [None, "", " \n\t "], ids=["none", "empty", "blank"])
def test_no_evidence(text: str | None, world: World) -> None:
    evidence = [] if text is None else [{"evidence_id": "e1", "text": text}]
    job_id = world.enqueue(input_json=input_json(extra_params={"evidence": evidence}))
    world.work()
    has_failed(world, job_id, "evidence_missing", NOTHING)


@pytest.mark.parametrize(
    "item",
    [{"lake_uri": "evidence/nothing.txt"}, {"run_id": str(uuid4())}, {"url": "http://127.0.0.1:9/never-fetched"}],
    ids=["lake file", "run", "url"],
)
def test_evidence_that_is_not_there(item: dict[str, str], world: World) -> None:
    job_id = world.enqueue(input_json=input_json(extra_params={}), evidence_ref_json=refs(item))
    world.work()
    has_failed(world, job_id, "evidence_missing", NOTHING)


@pytest.mark.parametrize(
    "uri", ["../secret.txt", "/etc/passwd", "a/%2e%2e/secret.txt", "a\\..\\secret.txt", "link/secret.txt", "file:///x"]
)
def test_evidence_outside_the_lake(uri: str, world: World, tmp_path: Path) -> None:
    world.lake_root.mkdir()
    (tmp_path / "secret.txt").write_text("what must not be read")
    (world.lake_root / "link").symlink_to(tmp_path)
    job_id = world.enqueue(evidence_ref_json=refs({"lake_uri": uri}))
    world.work()
    assert "must not be read" not in has_failed(world, job_id, "invalid_input", NOTHING)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"nul \x00", b"x" * (MAX_SOURCE_BYTES + 1)])
def test_a_lake_file_that_is_no_evidence(content: bytes, world: World) -> None:
    world.lake.write("evidence", "e.txt", content)
    job_id = world.enqueue(evidence_ref_json=refs({"lake_uri": "evidence/e.txt"}))
    world.work()
    has_failed(world, job_id, "invalid_input", NOTHING)


def test_evidence_that_cannot_fit_the_context(world: World) -> None:
    world.ollama |= {"num_ctx": 1000}
    job_id = world.enqueue(input_json=input_json(text="many words " * 700))
    world.work()
    assert "OLLAMA_NUM_CTX" in has_failed(world, job_id, "evidence_too_large", PREPARED - {"request.json"})


def test_evidence_over_its_bounds_is_cut_and_that_is_recorded(world: World) -> None:
    text = "Tala Venn was born on Corvessa. " + "many words " * 3000
    job_id = world.enqueue(input_json=input_json(text=text))
    world.work()
    run = world.run(job_id)
    assert world.job(job_id).status == "SUCCEEDED"
    (cut,) = json.loads(world.file(run, "evidence.json"))["cuts"]
    assert cut["why"] == "item_too_long"
    assert cut["kept_bytes"] + cut["dropped_bytes"] == len(text)


def test_evidence_from_the_lake_and_from_an_earlier_run(world: World) -> None:
    world.lake.write("evidence", "tala.txt", b"Tala Venn was born on Corvessa, says the archive.")
    first = world.enqueue()
    world.work()
    first_run = world.run(first)
    second = world.enqueue(
        input_json=input_json(extra_params={}),
        evidence_ref_json=refs(
            {"evidence_id": "e1", "lake_uri": "evidence/tala.txt"},
            {"evidence_id": "before", "run_id": str(first_run.run_id)},
        ),
    )
    world.work()
    assert world.job(second).status == "SUCCEEDED"
    items = {item["evidence_id"]: item for item in json.loads(world.file(world.run(second), "evidence.json"))["items"]}
    assert items["before"]["text"] == first_run.output_json
    assert items["before"]["source_uri"] == f"run:{first_run.run_id}"
    assert items["e1"]["text"].endswith("says the archive.")
    world.has_left(world.run(second), SUCCEEDED)


def test_secrets_in_evidence_reach_neither_model_nor_lake(world: World) -> None:
    secret = "sk-CANARY0123456789abcdefghijklmnop"
    text = f"Tala Venn was born on Corvessa. Her key is {secret}, her address tala@corvessa.example."
    job_id = world.enqueue(input_json=input_json(text=text))
    world.work()
    assert world.job(job_id).status == "SUCCEEDED"
    for path in world.lake_root.rglob("*"):
        assert path.is_dir() or (secret.encode() not in path.read_bytes() and b"tala@" not in path.read_bytes())
    assert secret.encode() not in world.fake.chats[0].body


def test_an_address_in_a_job_is_never_fetched(world: World) -> None:
    with FakeOllama() as elsewhere:
        there = f"{elsewhere.url}/latest/meta-data"
        items = [{"evidence_id": "e1", "source_uri": there, "text": PASSAGE}]
        job_id = world.enqueue(
            input_json=input_json(extra_params={"evidence": items}, source_refs=[there]),
            evidence_ref_json=refs({"evidence_id": "e2", "source_uri": there, "text": f"See {there}."}),
        )
        own_model = world.enqueue(model_hint=there, max_attempts=1)
        world.work(runs=2)
        assert world.job(job_id).status == "SUCCEEDED", world.job(job_id).last_error
        assert world.job(own_model).status in {"SUCCEEDED", "FAILED"}
        assert elsewhere.requests == []
