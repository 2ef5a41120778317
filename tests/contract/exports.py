"""Short ways to exports and what they leave."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from derive.contracts import Claim, RunFacts
from derive.queue import JobQueue
from tests.contract.scenes import an_artifact, claimed, judged, run_of, success


def exported(*arguments: str) -> int:
    """Run the command; its exit code."""
    with pytest.raises(SystemExit) as ended:
        call_command("export_outputs", *arguments)
    return int(ended.value.code or 0)


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text("utf-8").split("\n") if line]


def records_of(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def answered(queue: JobQueue, output: str = '{"facts": []}', **values: Any) -> Claim:
    """Let a run succeed with an output."""
    claim = claimed(queue, **values)
    facts = RunFacts(output_json=output, model_name="llama3.2", model_tag="latest", interrogation_version="1.0.0")
    found = success(claim, run=facts, artifacts=(an_artifact("parsed_output"),), facts=judged(output))
    queue.complete(found)
    return claim


def number_of(claim: Claim) -> int:
    return int(run_of(claim).run_seq)
