"""Facts come into the database with their run, judged; what becomes of bad ones is as the interrogation says."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from derive.interrogations import sw_entity_facts_v1
from derive.models import Fact
from tests.fake_ollama import behaviours
from tests.faults.worker_world import JUDGED, KEY, PASSAGE, SUCCEEDED, World, wait_until


def a_fact(key: str, value: str, quote: str) -> dict[str, Any]:
    return {"fact_key": key, "value": value, "confidence": 90, "evidence_ids": ["e1"], "quote": quote}


GOOD = a_fact("homeworld", "Corvessa", "Tala Venn was born on Corvessa")
REFUTED = a_fact("ship", "the frigate Swift Lantern", "the frigate Patient Lantern")
NOWHERE = a_fact("rank", "admiral", "Admiral Tala Venn")


def answering(*facts: dict[str, Any]) -> Any:
    return behaviours.answer(json.dumps({"facts": facts}))


def facts_of(world: World, job_id: Any) -> list[tuple[int, str, str, str]]:
    rows = Fact.objects.filter(job_id=job_id).order_by("fact_index")
    return [(row.fact_index, row.fact_key, row.verdict, row.review_status) for row in rows]


def another_interrogation(world: World, tmp_path: Path, *, max_facts: int = 24, on_bad_fact: str = "ask_again") -> str:
    """Give the world the built-in interrogation under another key, with other rules about its facts; return the key."""
    world.interrogations_folder = tmp_path / "interrogations"
    folder = world.interrogations_folder / f"{KEY}_{on_bad_fact}"
    shutil.copytree(Path(sw_entity_facts_v1.__file__).parent, folder)
    output = folder / "output.py"
    text = output.read_text().replace("MAX_FACTS = 24", f"MAX_FACTS = {max_facts}")
    output.write_text(f'{text}\nON_BAD_FACT = "{on_bad_fact}"\n')
    return folder.name


def test_a_fact_is_stored_with_the_place_of_its_quote(world: World) -> None:
    world.fake.next(answering(GOOD))
    job_id = world.enqueue()
    world.work()
    (fact,) = Fact.objects.filter(job_id=job_id)
    assert (fact.run_id, fact.path, fact.value, fact.evidence_id) == (
        world.run(job_id).run_id,
        "facts[0]",
        "Corvessa",
        "e1",
    )
    assert PASSAGE[fact.quote_start : fact.quote_end] == fact.quote == GOOD["quote"]
    assert (fact.verdict, fact.occurrences, float(fact.confidence)) == ("SUPPORTED", 1, 90.0)


def test_while_attempts_are_left_the_model_is_asked_again_and_told_each_fault(world: World) -> None:
    world.fake.next(answering(GOOD, REFUTED, NOWHERE), answering(GOOD))
    job_id = world.enqueue(max_attempts=2)
    world.work(2)
    first, second = world.runs(job_id)
    assert (first.status, first.error_kind, second.status) == ("FAILED", "ungrounded_output", "SUCCEEDED")
    world.has_left(first, JUDGED)
    world.has_left(second, SUCCEEDED | {"correction.json"})
    told = json.loads(world.file(second, "correction.json"))["details"]
    assert [line.partition(":")[0] for line in told] == ["facts[2].quote", "facts[1]"]
    assert facts_of(world, job_id) == [(0, "homeworld", "SUPPORTED", "NONE")]
    assert not Fact.objects.filter(run_id=first.run_id).exists()


def test_a_value_that_its_quote_refutes_is_unsupported_output(world: World) -> None:
    world.fake.next(answering(GOOD, REFUTED))
    job_id = world.enqueue(max_attempts=2)
    world.work()
    assert (world.job(job_id).status, world.job(job_id).error_kind) == ("NEW", "unsupported_output")
    assert "Swift" not in world.job(job_id).last_error


def test_the_last_answer_stands_with_its_good_facts(world: World) -> None:
    world.fake.always(answering(GOOD, REFUTED, NOWHERE))
    job_id = world.enqueue(max_attempts=2)
    world.work(2)
    assert [run.status for run in world.runs(job_id)] == ["FAILED", "SUCCEEDED"]
    assert facts_of(world, job_id) == [
        (0, "homeworld", "SUPPORTED", "NONE"),
        (1, "ship", "REFUTED", "OPEN"),
        (2, "rank", "NOT_ENOUGH_INFO", "OPEN"),
    ]
    report = json.loads(world.file(world.run(job_id), "validation.json"))
    assert [check["result"] for check in report["checks"]] == ["passed", "passed", "passed", "kept", "kept"]


@pytest.mark.parametrize(("facts", "kind"), [([REFUTED], "unsupported_output"), ([NOWHERE], "ungrounded_output")])
def test_an_answer_of_bad_facts_alone_is_a_dead_letter(facts: list[Any], kind: str, world: World) -> None:
    world.fake.always(answering(*facts))
    job_id = world.enqueue(max_attempts=2)
    world.work(2)
    assert (world.job(job_id).status, world.job(job_id).error_kind) == ("DEADLETTER", kind)
    assert facts_of(world, job_id) == []


@pytest.mark.parametrize(("on_bad_fact", "ends"), [("keep", ["SUCCEEDED"]), ("strict", ["FAILED", "FAILED"])])
def test_an_interrogation_may_keep_or_refuse_bad_facts(
    on_bad_fact: str, ends: list[str], world: World, tmp_path: Path
) -> None:
    key = another_interrogation(world, tmp_path, on_bad_fact=on_bad_fact)
    world.fake.always(answering(GOOD, REFUTED))
    job_id = world.enqueue(interrogation_key=key, max_attempts=2)
    world.work(len(ends))
    assert [run.status for run in world.runs(job_id)] == ends
    assert len(facts_of(world, job_id)) == (2 if on_bad_fact == "keep" else 0)


def test_an_answer_without_facts_is_valid(world: World) -> None:
    world.fake.next(answering())
    job_id = world.enqueue()
    world.work()
    assert (world.job(job_id).status, facts_of(world, job_id)) == ("SUCCEEDED", [])


def test_ten_thousand_facts_of_one_answer_are_stored(world: World, tmp_path: Path) -> None:
    key = another_interrogation(world, tmp_path, max_facts=10_000)
    world.fake.next(answering(*(GOOD | {"value": f"Corvessa {n}"} if n % 50 else GOOD for n in range(10_000))))
    job_id = world.enqueue(interrogation_key=key, max_attempts=1)
    running = world.worker(max_jobs=1)
    wait_until(lambda: running.has_ended, "the answer is stored", seconds=150)
    running.report()
    run = world.run(job_id)
    assert (run.status, run.error) == ("SUCCEEDED", None)
    assert Fact.objects.filter(run_id=run.run_id).count() == 10_000
    report = json.loads(world.file(run, "validation.json"))
    assert (sum(report["verdicts"].values()), len(report["facts"])) == (10_000, 1_000)
