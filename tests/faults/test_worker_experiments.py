"""Experiments: variants are asked exactly as they say, scored, and leave no facts behind."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from derive.experiments.opening import find_experiment, open_experiment, plan_experiment, queue_jobs
from derive.experiments.progress import progress_of
from derive.experiments.result import result_of
from derive.fact_rebuilding import RebuildSelection, count_to_rebuild
from derive.golden_contracts import CaseInput
from derive.interrogations.registry import Registry
from derive.interrogations.sw_entity_facts_v1.output import VERSION
from derive.models import Batch, Experiment, Fact, FactSet, GoldenCase, Job, Run
from derive.states import JobStatus
from derive.verify.checkers import Checkers
from derive.verify.checking import RunChecker
from derive.verify.reading import RunSelection
from derive.verify.verification import Verification
from tests.contract.exports import exported, lines_of
from tests.fake_ollama import behaviours
from tests.faults.worker_world import KEY, OPERATOR, PASSAGE, World

BORN = {
    "fact_key": "homeworld",
    "value": "Corvessa",
    "confidence": 90,
    "evidence_ids": ["e1"],
    "quote": "Tala Venn was born on Corvessa",
}
SHIP = BORN | {"fact_key": "ship", "value": "Patient Lantern", "quote": "the frigate Patient Lantern"}
VARIANT = f"{KEY}@{VERSION}?temperature=0.5"


def answering(*facts: dict[str, Any]) -> Any:
    return behaviours.answer(json.dumps({"facts": facts}))


def a_set(world: World, *keys: str) -> None:
    cases = [
        CaseInput(
            set_name="ships",
            case_key=key,
            interrogation_key=KEY,
            input_json='{"entity_type": "character", "entity_id": "tala-venn"}',
            evidence_json=json.dumps({"items": [{"evidence_id": "e1", "text": PASSAGE}]}),
            expected_json=json.dumps(
                {"facts": [{"key": one["fact_key"], "value": one["value"]} for one in (BORN, SHIP)]}
            ),
        )
        for key in keys
    ]
    world.queue.save_golden_cases(cases, actor=OPERATOR)


def opened(world: World, *gates: str, repeats: int = 1, variant: str = VARIANT) -> Experiment:
    registry = Registry.load(None)
    plan = plan_experiment("ships", [variant], gates=gates, repeats=repeats, registry=registry)
    experiment = open_experiment(plan, actor=OPERATOR)
    queue_jobs(experiment, actor=OPERATOR)
    return experiment


def test_an_experiment_is_asked_scored_and_kept(world: World) -> None:
    a_set(world, "one", "two")
    experiment = opened(world, "f1>=live", "recall>=0.9")
    assert {job.priority for job in Job.objects.all()} == {10}
    assert not progress_of(experiment).is_done
    # Of each case first the live version, then the variant, which misses a fact of the second case.
    for facts in ((BORN, SHIP), (BORN, SHIP), (BORN, SHIP), (BORN,)):
        world.fake.next(answering(*facts))
    world.work(4)
    assert progress_of(experiment).is_done

    result = result_of(experiment)
    live, ours = result["variants"]
    assert (result["state"], result["scored"], live["is_live"]) == ("done", 2, True)
    assert (live["f1"]["value"], ours["recall"]["value"], ours["precision"]["value"]) == (1.0, 0.75, 1.0)
    assert ours["by_key"]["ship"]["recall"]["value"] == 0.5
    assert (ours["against_live"]["better"], ours["against_live"]["worse"]) == (0, 1)
    assert ours["against_live"]["worse_cases"][0]["case"] == "two"
    assert [(gate["gate"], gate["passed"]) for gate in result["gates"]] == [("f1>=live", True), ("recall>=0.9", False)]
    assert not result["passed"]
    # As it was asked.
    temperatures = sorted(json.loads(run.options_json)["temperature"] for run in Run.objects.all())
    assert temperatures == [0.0, 0.0, 0.5, 0.5]
    # It is kept, whatever becomes of the jobs.
    kept = find_experiment(experiment.experiment_id)
    assert kept.is_passed is False
    assert result_of(kept) == result


def test_what_was_tried_is_in_no_facts_and_no_export_and_verifies(world: World, tmp_path: Path, settings: Any) -> None:
    settings.LAKE_URL = str(world.lake_root)
    a_set(world, "one")
    opened(world)
    world.fake.next(answering(BORN, SHIP))
    world.fake.next(answering(BORN, SHIP))
    world.work(2)
    assert Job.objects.filter(status=JobStatus.SUCCEEDED).count() == 2
    assert not Fact.objects.exists()
    assert not FactSet.objects.exists()
    assert count_to_rebuild(RebuildSelection(again=True)) == 0
    assert exported(str(tmp_path / "all.jsonl")) == 0
    assert lines_of(tmp_path / "all.jsonl") == []
    named = str(Job.objects.order_by("job_seq").values_list("job_id", flat=True)[0])
    assert exported(str(tmp_path / "one.jsonl"), "--job", named) == 0
    assert len(lines_of(tmp_path / "one.jsonl")) == 1, "unless it is asked for"
    registry = Registry.load(None)
    checker = RunChecker.of(world.lake, registry, quick=False)
    with Checkers.in_threads(checker) as checkers:
        assert list(Verification(world.lake, checkers, selection=RunSelection()).found()) == []


def test_an_interrupted_experiment_goes_on_where_it_was(world: World) -> None:
    a_set(world, "one", "two")
    plan = plan_experiment("ships", [VARIANT], registry=Registry.load(None))
    experiment = open_experiment(plan, actor=OPERATOR)
    # Whoever queued the jobs died after the first 500: here, after some of them.
    queue_jobs(experiment, actor=OPERATOR)
    assert queue_jobs(experiment, actor=OPERATOR) == 0, "nothing is queued twice"
    assert Job.objects.count() == 4
    assert Batch.objects.get().filled_utc is not None


def test_the_experiment_keeps_its_own_copy_of_the_cases(world: World) -> None:
    a_set(world, "one")
    experiment = opened(world)
    world.queue.save_golden_cases(
        [
            CaseInput(
                **{
                    **{name: getattr(GoldenCase.objects.get(), name) for name in CaseInput.model_fields},
                    "expected_json": '{"facts": []}',
                }
            )
        ],
        actor=OPERATOR,
        replaces=True,
    )
    for _ in range(2):
        world.fake.next(answering(BORN, SHIP))
    world.work(2)
    assert [one["f1"]["value"] for one in result_of(experiment)["variants"]] == [1.0, 1.0]


def test_an_answer_that_is_refused_counts_as_one_that_found_nothing(world: World) -> None:
    a_set(world, "one")
    experiment = opened(world, variant=f"{KEY}@{VERSION}/missing-model")
    world.fake.next(answering(BORN, SHIP))
    world.work(2)
    _live, ours = result_of(experiment)["variants"]
    assert (ours["refusals"]["value"], ours["f1"]["value"], ours["recall"]["value"]) == (1.0, 0.0, 0.0)


def test_repeats_have_seeds_of_their_own_and_show_how_stable_a_variant_is(world: World) -> None:
    a_set(world, "one")
    experiment = opened(world, repeats=2)
    for facts in ((BORN, SHIP), (BORN, SHIP), (BORN, SHIP), (BORN,)):
        world.fake.next(answering(*facts))
    world.work(4)
    live, ours = result_of(experiment)["variants"]
    assert live["stability"] == {"same_answers": 1.0, "f1_by_repeat": [1.0, 1.0]}
    assert ours["stability"] == {"same_answers": 0.0, "f1_by_repeat": [1.0, 0.6667]}
    assert sorted(json.loads(run.options_json)["seed"] for run in Run.objects.all()) == [0, 0, 1, 1]


def run(*arguments: str) -> tuple[int, str, str]:
    out, err = StringIO(), StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("evaluate", *arguments, stdout=out, stderr=err)
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


def test_the_command_queues_waits_and_judges(world: World) -> None:
    a_set(world, "one")
    code, out, _err = run("ships", "--variant", VARIANT, "--gate", "f1>=live", "--no-wait", "--json")
    assert code == 0
    experiment_id = json.loads(out)["experiment"]
    assert json.loads(run("--show", experiment_id, "--json")[1])["state"] == "running"
    for _ in range(2):
        world.fake.next(answering(BORN, SHIP))
    world.work(2)
    code, out, _err = run("--resume", experiment_id, "--json")
    assert (code, json.loads(out)["passed"]) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("nothing", "--variant", VARIANT), "there is no golden set 'nothing'"),
        (("ships",), "name at least one variant"),
        ((), "name a golden set"),
        (("ships", "--variant", f"{KEY}@9.9.9"), "known versions: "),
        (("ships", "--variant", "nobody@1.0.0"), "there is no such interrogation"),
        (("ships", "--variant", "x"), "is not a variant"),
        (("ships", "--variant", f"{KEY}@{VERSION}?colour=1"), "'colour' is given twice or is not one of"),
        (("ships", "--variant", f"{KEY}@{VERSION}?temperature=hot"), "are not numbers"),
        (("ships", "--variant", f"{KEY}@{VERSION}?temperature=-1"), "temperature"),
        (("ships", "--variant", VARIANT, "--variant", VARIANT), "a variant is given twice"),
        (("ships", "--variant", VARIANT, "--gate", "f9>=live"), "is not a gate"),
        (("--show", "11111111-1111-4111-8111-111111111111"), "there is no experiment"),
    ],
)
def test_what_cannot_be_tried_is_told_and_leaves_nothing(world: World, arguments: tuple[str, ...], why: str) -> None:
    a_set(world, "one")
    code, _out, err = run(*arguments)
    assert code == 2
    assert why in err
    assert not Experiment.objects.exists()
    assert not Job.objects.exists()
