"""Long evidence, read in parts by a real worker: every fact is found, at its place, and the answer proves itself."""

import json
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from derive.contracts import JobRef
from derive.demo.ollama_wire import Exchange
from derive.export.columns import COLUMNS, Rows
from derive.export.reading import read_jobs
from derive.fact_rebuilding import RebuildSelection, rebuild_facts
from derive.fact_report.unread import unread_in_words
from derive.interrogations import live_registry
from derive.interrogations.definition import Definition
from derive.interrogations.registry import Registry
from derive.models import Fact, FactSet, Job
from derive.queue import JobQueue
from derive.verify.checkers import Checkers
from derive.verify.checking import RunChecker
from derive.verify.findings import Finding
from derive.verify.reading import RunSelection
from derive.verify.verification import Verification
from derive.worker import loop
from derive.worker.batch_sweep import BatchSweep
from derive.worker.previous_runs import PreviousRuns
from tests.fake_ollama import behaviours
from tests.faults.worker_world import KEY, OPERATOR, World, input_json

LONG = "long_v1"
BUILT_IN = Path(live_registry.__file__).parent / KEY
FILLER = "The lantern was lit and the log was kept in order. "
OUTPUT_NAMES = [column.name for column in COLUMNS[Rows.OUTPUTS]]
UNREAD = re.compile(r"characters (\d+) to (\d+)")
FOUND = re.compile(r"Ship (\w+) carries (\d+) tons\.")


def document(facts: int, *, filler: int = 40) -> str:
    """A text with planted facts, each after a few kilobytes of words that state none."""
    return "".join(f"{FILLER * filler}Ship s{number} carries {number + 100} tons.\n\n" for number in range(facts))


def evidence_in(exchange: Exchange) -> str:
    """The evidence of a prompt, without the rest of it."""
    prompt = exchange.request.json["messages"][0]["content"]
    mark = re.search(r"(\[\[\w+\]\]) evidence_id", prompt)
    assert mark is not None
    return str(prompt.split(f"{mark[1]} evidence_id")[-1].split(f"{mark[1]} end of evidence")[0])


async def finds_what_it_reads(exchange: Exchange) -> None:
    """Answer with every planted fact that stands in the evidence of the prompt."""
    facts = [
        {"fact_key": one[1], "value": f"{one[2]} tons", "confidence": 90, "evidence_ids": ["e1"], "quote": one[0]}
        for one in FOUND.finditer(evidence_in(exchange))
    ]
    await behaviours.answer(json.dumps({"facts": facts}))(exchange)


@pytest.fixture
def world(world: World, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world with an interrogation that reads long evidence in parts, and a model that finds what stands there."""
    monkeypatch.setattr(loop, "BatchSweep", partial(BatchSweep, every_seconds=0.02))
    world.interrogations_folder = tmp_path_factory.mktemp("interrogations")
    made = world.interrogations_folder / LONG
    made.mkdir()
    for name in ("prompt.md", "output.py", "rubric.md"):
        shutil.copy(BUILT_IN / name, made)
    set_attribute(world, "LONG_EVIDENCE", "split")
    world.fake.always(finds_what_it_reads)
    return world


def set_attribute(world: World, name: str, value: str) -> None:
    assert world.interrogations_folder is not None
    with (world.interrogations_folder / LONG / "output.py").open("a") as file:
        file.write(f'\n{name} = "{value}"\n')


def enqueue(world: World, text: str, **values: Any) -> UUID:
    return world.enqueue(interrogation_key=LONG, input_json=input_json(text=text), **values)


def parts_of(job_id: UUID) -> list[Any]:
    return list(Job.objects.filter(parent_job_id=job_id).order_by("part_no"))


def faults_of(world: World) -> list[tuple[str, str]]:
    checker = RunChecker.of(world.lake, Registry.load(world.interrogations_folder), quick=False)
    with Checkers.in_threads(checker) as checkers:
        found = Verification(world.lake, checkers, selection=RunSelection()).found()
        return [(one.file, one.what) if isinstance(one, Finding) else ("", str(one)) for one in found]


def test_a_long_text_is_read_in_parts_and_every_fact_keeps_its_place(world: World) -> None:
    text = document(12)
    job_id = enqueue(world, text, priority=7)
    with world.working(concurrency=4):
        world.wait_for(job_id, "SUCCEEDED")
    parts = parts_of(job_id)
    assert len(parts) > 3
    assert {(part.status, part.priority, part.part_count) for part in parts} == {("SUCCEEDED", 7, len(parts))}
    assert all(len(part.input_json) + len(part.evidence_ref_json) < 3_000 for part in parts)
    split, joined = world.runs(job_id)
    assert (split.status, split.counted, joined.status, joined.attempt) == ("SPLIT", False, "SUCCEEDED", 2)
    world.has_left(split, frozenset({"evidence.json"}))
    world.has_left(joined, frozenset({"evidence.json", "parts.json", "validation.json", "output.json"}))
    facts = list(Fact.objects.filter(run_id=joined.run_id).order_by("fact_index"))
    assert [fact.fact_key for fact in facts] == [f"s{number}" for number in range(12)]
    assert all(text[fact.quote_start : fact.quote_end] == fact.quote for fact in facts)
    assert Fact.objects.count() == 12
    assert set(FactSet.objects.values_list("fact_count", flat=True)) == {0, 12}
    assert faults_of(world) == []


def test_parts_share_the_prepared_definition_of_their_interrogation(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    definition = PreviousRuns.definition

    def reading(runs: PreviousRuns, definition_sha256: str) -> Definition | None:
        read.append(definition_sha256)
        return definition(runs, definition_sha256)

    monkeypatch.setattr(PreviousRuns, "definition", reading)
    job_id = enqueue(world, document(12))
    with world.working():
        world.wait_for(job_id, "SUCCEEDED")
    assert len(parts_of(job_id)) > len(read)
    assert len(read) == 1  # by the run that joins


def test_evidence_that_fits_is_asked_about_at_once(world: World) -> None:
    job_id = enqueue(world, document(1, filler=2))
    world.work()
    assert (world.job(job_id).status, parts_of(job_id)) == ("SUCCEEDED", [])


def failing_at(part_word: str) -> Any:
    """A model that answers nonsense to the part which holds a word."""

    async def behave(exchange: Exchange) -> None:
        is_bad = part_word in exchange.request.json["messages"][0]["content"]
        await (behaviours.not_the_schema() if is_bad else finds_what_it_reads)(exchange)

    return behave


def test_a_failed_part_fails_the_job_and_a_requeue_repeats_it_alone(world: World) -> None:
    world.fake.always(failing_at("Ship s5 carries"))
    job_id = enqueue(world, document(8), max_attempts=1)
    with world.working(concurrency=4):
        world.wait_for(job_id, "FAILED")
        job = world.job(job_id)
        failed = [part for part in parts_of(job_id) if part.status != "SUCCEEDED"]
        assert job.error_kind == "part_failed"
        assert f"{failed[0].part_no} (invalid_output)" in job.last_error
        world.fake.always(finds_what_it_reads)
        asked = len(world.fake.chats)
        JobQueue().requeue([JobRef(job_id=job_id)], actor=OPERATOR)
        world.wait_for(job_id, "SUCCEEDED")
    assert len(world.fake.chats) - asked == len(failed)
    assert Fact.objects.filter(run_id=world.run(job_id).run_id).count() == 8
    assert faults_of(world) == []


def test_a_partial_answer_says_what_was_not_read(world: World) -> None:
    set_attribute(world, "ON_FAILED_PART", "partial")
    world.fake.always(failing_at("Ship s5 carries"))
    text = document(8)
    job_id = enqueue(world, text, max_attempts=1)
    with world.working(concurrency=4):
        world.wait_for(job_id, "SUCCEEDED")
    run = world.run(job_id)
    unread = [part.part_no for part in parts_of(job_id) if part.status != "SUCCEEDED"]
    assert json.loads(world.file(run, "validation.json"))["unread_parts"] == unread
    assert "s5" not in set(Fact.objects.filter(run_id=run.run_id).values_list("fact_key", flat=True))
    assert faults_of(world) == []
    said = unread_in_words(run.run_id, world.lake)
    assert said.startswith(f"This answer is partial: {len(unread)} of {len(parts_of(job_id))} parts ha")
    stretches = [(int(one[0]), int(one[1])) for one in UNREAD.findall(said.replace(",", ""))]
    at = text.index("Ship s5 carries")
    assert any(start <= at < end for start, end in stretches)
    (values,) = [values for batch in read_jobs(Rows.OUTPUTS, [world.job(job_id).job_seq]) for values in batch]
    row = dict(zip(OUTPUT_NAMES, values, strict=True))
    assert row["unread_parts"] == len(unread)


def test_evidence_that_changed_since_the_split_is_told(world: World) -> None:
    job_id = enqueue(world, document(8), max_attempts=1)
    world.work()
    (split,) = world.runs(job_id)
    stored = world.lake_root / world.folder(split) / "evidence.json"
    stored.chmod(0o600)
    stored.write_bytes(stored.read_bytes().replace(b"Ship s3", b"Ship s4"))
    with world.working():
        world.wait_for(job_id, "FAILED")
    assert {part.error_kind for part in parts_of(job_id)} == {"invalid_input"}
    assert all("has changed since it was stored" in part.last_error for part in parts_of(job_id))


def test_a_forged_answer_of_a_part_is_found_through_the_joined_one(world: World) -> None:
    job_id = enqueue(world, document(8))
    with world.working(concurrency=4):
        world.wait_for(job_id, "SUCCEEDED")
    part = parts_of(job_id)[0]
    output = world.lake_root / world.folder(world.run(part.job_id)) / "output.json"
    output.chmod(0o600)
    output.write_bytes(output.read_bytes().replace(b"101 tons", b"999 tons"))
    assert ("parts.json", f"the answer of part {part.part_no} has another SHA-256") in faults_of(world)


def test_rebuilt_facts_of_a_joined_answer_keep_their_places(world: World) -> None:
    job_id = enqueue(world, document(8))
    with world.working(concurrency=4):
        world.wait_for(job_id, "SUCCEEDED")
    columns = ("fact_index", "fact_key", "quote_start", "quote_end", "occurrences")
    before = list(Fact.objects.order_by("fact_index").values_list(*columns))
    report = rebuild_facts(world.lake, RebuildSelection(again=True), actor=OPERATOR)
    assert (report.runs, report.failed) == (1, [])
    assert list(Fact.objects.order_by("fact_index").values_list(*columns)) == before


def cannot_take(characters: int, *, instead: Any) -> Any:
    """A model for which more evidence than that is too much."""

    async def behave(exchange: Exchange) -> None:
        is_much = len(evidence_in(exchange)) > characters
        await (instead if is_much else finds_what_it_reads)(exchange)

    return behave


@pytest.mark.parametrize(
    ("instead", "kind"),
    [(behaviours.prompt_too_long(), "evidence_too_large"), (behaviours.truncated(), "truncated_output")],
)
def test_a_window_that_is_too_much_for_the_model_is_halved_until_it_fits(world: World, instead: Any, kind: str) -> None:
    text = document(8)
    world.fake.always(cannot_take(3_000, instead=instead))
    job_id = enqueue(world, text)
    with world.working(concurrency=2):
        world.wait_for(job_id, "SUCCEEDED")
    facts = list(Fact.objects.filter(run_id=world.run(job_id).run_id).order_by("fact_index"))
    assert [fact.fact_key for fact in facts] == [f"s{number}" for number in range(8)]
    assert all(text[fact.quote_start : fact.quote_end] == fact.quote for fact in facts)
    parts = parts_of(job_id)
    document_of_parts = json.loads(world.file(world.run(job_id), "parts.json"))
    halvings = [part["halvings"] for part in document_of_parts["parts"]]
    assert max(halvings) >= 1
    assert len(parts) == world.job(job_id).part_count == len(halvings)
    halved = [run for part in parts for run in world.runs(part.job_id) if run.status == "SPLIT"]
    assert {(run.error_kind, run.counted) for run in halved} == {(kind, False)}
    assert faults_of(world) == []


def test_a_window_is_halved_three_times_at_most(world: World) -> None:
    world.fake.always(behaviours.prompt_too_long())
    job_id = enqueue(world, document(3, filler=120))
    with world.working(concurrency=2):
        world.wait_for(job_id, "FAILED")
    assert world.job(job_id).error_kind == "part_failed"
    parts = parts_of(job_id)
    halvings = [json.loads(part.halved_ref_json)["part"]["halvings"] for part in parts if part.halved_ref_json]
    assert max(halvings) == 3
    assert {(part.status, part.error_kind) for part in parts} == {("FAILED", "evidence_too_large")}


def test_evidence_that_was_expected_to_fit_is_read_in_parts_if_it_does_not(world: World) -> None:
    world.fake.always(cannot_take(3_000, instead=behaviours.prompt_too_long()))
    job_id = enqueue(world, document(3, filler=30))
    with world.working():
        world.wait_for(job_id, "SUCCEEDED")
    split, _ = world.runs(job_id)
    assert (split.status, split.error_kind, split.counted) == ("SPLIT", "evidence_too_large", False)
    assert Fact.objects.filter(run_id=world.run(job_id).run_id).count() == 3
    assert faults_of(world) == []


def test_a_longer_answer_is_asked_for_before_evidence_is_read_in_parts(world: World) -> None:
    world.fake.next(behaviours.truncated(), finds_what_it_reads)
    job_id = enqueue(world, document(1, filler=2))
    with world.working():
        world.wait_for(job_id, "SUCCEEDED")
    assert [run.status for run in world.runs(job_id)] == ["FAILED", "SUCCEEDED"]
    assert parts_of(job_id) == []
