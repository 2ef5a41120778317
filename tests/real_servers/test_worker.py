"""Whole runs of a worker against a real server: what they leave, and that it verifies."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from derive.interrogations.registry import Registry
from derive.verify.checkers import Checkers
from derive.verify.checking import RunChecker
from derive.verify.reading import RunSelection
from derive.verify.verification import Verification
from tests.faults.worker_world import ANSWERED, SUCCEEDED, World, input_json
from tests.real_servers.servers import RealServer

VERDICT = "verdict_v1"
REPORT = "report_v1"
OUTPUTS = {
    VERDICT: 'verdict: Literal["yes", "no"]',
    REPORT: "lines: list[Annotated[str, Field(min_length=300, max_length=300)]] = Field(min_length=20, max_length=20)",
}
"""A word, and an answer of more than 6,000 tokens, whatever the model."""


@pytest.fixture
def asking(world: World, tmp_path: Path) -> World:
    """A world with two interrogations whose answers any model can give."""
    world.interrogations_folder = tmp_path / "interrogations"
    for key, member in OUTPUTS.items():
        folder = world.interrogations_folder / key
        folder.mkdir(parents=True)
        folder.joinpath("rubric.md").write_text("Say what the evidence says.")
        folder.joinpath("prompt.md").write_text(
            "Report.\n$rubric\n$schema\nIt is about $entity_id.\n$evidence\nAnswer."
        )
        folder.joinpath("output.py").write_text(
            "from typing import Annotated, Literal\nfrom pydantic import BaseModel, ConfigDict, Field\n"
            'VERSION = "1.0.0"\n'
            f'class Output(BaseModel):\n    model_config = ConfigDict(extra="forbid")\n    {member}\n'
        )
    return world


def in_protocol(files: frozenset[str], server: RealServer) -> frozenset[str]:
    """Return the files of a run as the server's protocol calls them."""
    return files if server.is_ollama else files - {"response.ndjson"} | {"response.sse"}


def has_verified(world: World) -> None:
    checker = RunChecker.of(world.lake, Registry.load(world.interrogations_folder), quick=False)
    with Checkers.in_threads(checker) as checkers:
        assert list(Verification(world.lake, checkers, selection=RunSelection()).found()) == []


def checks_of(world: World, run: Any) -> dict[str, bool]:
    checks = json.loads(world.file(run, "validation.json"))["answer_checks"]
    return {check["name"]: check["passed"] for check in checks}


def test_a_job_is_answered_and_all_of_it_is_kept(asking: World, server: RealServer) -> None:
    job_id = asking.enqueue(interrogation_key=VERDICT)
    asking.work()
    run = asking.run(job_id)
    assert (asking.job(job_id).status, run.error) == ("SUCCEEDED", None)
    asking.has_left(run, in_protocol(SUCCEEDED, server))
    assert json.loads(asking.file(run, "output.json"))["verdict"] in {"yes", "no"}
    assert (run.model_name, run.prompt_tokens > 0, run.output_tokens > 0) == (server.model, True, True)
    assert all(checks_of(asking, run).values())
    has_verified(asking)


def test_the_built_in_interrogation_is_answered(world: World, server: RealServer) -> None:
    job_id = world.enqueue()
    world.work()
    run = world.run(job_id)
    assert (run.status, run.error) == ("SUCCEEDED", None)
    assert json.loads(world.file(run, "output.json")) == {"facts": []}
    has_verified(world)


def test_jobs_wait_for_the_servers_only_slot(asking: World) -> None:
    jobs = [asking.enqueue(interrogation_key=VERDICT, input_json=input_json(entity_id=f"e{n}")) for n in range(8)]
    asking.work(8, concurrency=4)
    assert {asking.job(job_id).status for job_id in jobs} == {"SUCCEEDED"}
    has_verified(asking)


def test_an_answer_that_finds_no_room_ends_as_truncated(asking: World, server: RealServer) -> None:
    asking.ollama["num_predict"] = 200
    job_id = asking.enqueue(interrogation_key=REPORT, max_attempts=1)
    asking.work()
    run = asking.run(job_id)
    assert (run.status, run.error_kind, run.output_tokens) == ("FAILED", "truncated_output", 200)
    asking.has_left(run, in_protocol(ANSWERED, server))
    has_verified(asking)


def test_evidence_that_only_the_server_finds_too_large_ends_the_job(world: World) -> None:
    """Ten thousand tokens for a model that takes each byte for one, which no estimate foresees."""
    job_id = world.enqueue(input_json=input_json(text=("The ship left at dawn and came back at night. " * 120)))
    world.work()
    run = world.run(job_id)
    assert (world.job(job_id).status, run.error_kind) == ("FAILED", "evidence_too_large")
    has_verified(world)


def test_a_model_that_the_server_has_not_fails_the_job_that_asks_for_it(world: World) -> None:
    job_id = world.enqueue(model_hint="nobody-has-it")
    world.work()
    assert (world.job(job_id).status, world.job(job_id).error_kind) == ("FAILED", "model_not_found")


def test_a_job_cancelled_in_the_midst_of_its_answer_gives_the_slot_to_the_next(
    asking: World, server: RealServer
) -> None:
    cancelled = asking.enqueue(interrogation_key=REPORT)
    with asking.working():
        asking.wait_for(cancelled, "RUNNING")
        # The answer cannot come to its end before the cancellation is noticed.
        server.process.send_signal(signal.SIGSTOP)
        try:
            asking.cancel(cancelled)
            asking.wait_for(cancelled, "CANCELLED")
        finally:
            server.process.send_signal(signal.SIGCONT)
        after = asking.enqueue(interrogation_key=VERDICT)
        asking.wait_for(after, "SUCCEEDED")
    has_verified(asking)
