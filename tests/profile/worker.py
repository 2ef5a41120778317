"""``python -m tests.profile.worker FILE ARGUMENT …``: run_llm_worker, its processor time by step put into a file."""

import importlib
import inspect
import json
import logging
import sys
import time
from pathlib import Path
from typing import Any

from tests.profile.clock import StepClock

STEPS: dict[str, tuple[str, ...]] = {
    "claim": (
        "derive.worker.claiming:Claiming.claim",
        "derive.queue.worker:WorkerQueue.claim",
        "derive.worker.runs:Runs.start",
    ),
    "evidence": ("derive.worker.attempt:prepare_question",),
    "prompt": (
        "derive.interrogations.definition:Definition.render",
        "derive.evidence.tokens:KnownLines.make_up_of",
        "derive.ollama.client:OllamaClient.body",
    ),
    "request": ("derive.model_servers.client:ModelClient._send",),
    "stream": ("derive.model_servers.client:ModelClient.chat",),
    "checks after the answer": ("derive.worker.attempt:_look_again",),
    "validation": ("derive.interrogations.definition:Definition.validate",),
    "grounding": ("derive.interrogations.validation:judge_facts",),
    "hashing": ("derive.lake:_hash_bytes", "derive.evidence.bundle:hash_items", "derive.evidence.bundle:_sha256"),
    "files": ("derive.worker.run_record:RunRecord.close", "derive.lake:Lake.spool", "derive.lake:Spool.write"),
    "completion": (
        "derive.worker.runs:Runs._hand_in",
        "derive.queue.worker:WorkerQueue.complete",
        "derive.queue.worker:WorkerQueue.complete_all",
    ),
    "heartbeat": (
        *("derive.worker.lease:LeaseKeeper._beat", "derive.worker.lease:LeaseKeeper._reap"),
        *("derive.queue.worker:WorkerQueue.heartbeat", "derive.queue.worker:WorkerQueue.reap"),
    ),
}
"""What belongs to each step: ``module:name``, measured without the steps inside it."""


def main() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    clock = StepClock()
    for step, places in STEPS.items():
        for place in places:
            _measure(clock, step, place)
    logging.Logger.handle = clock.measure("logs", logging.Logger.handle)  # type: ignore[method-assign]
    begun = time.process_time_ns()
    try:
        call_command("run_llm_worker", *sys.argv[2:])
    finally:
        Path(sys.argv[1]).write_text(
            json.dumps({"steps": clock.nanoseconds(), "whole": time.process_time_ns() - begun})
        )


def find(place: str) -> tuple[Any, str]:
    """Return what holds the function, and its name there."""
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    *inner, name = path.split(".")
    for part in inner:
        owner = getattr(owner, part)
    return owner, name


def _measure(clock: StepClock, step: str, place: str) -> None:
    owner, name = find(place)
    function = getattr(owner, name)
    measure = clock.measure_async if inspect.iscoroutinefunction(function) else clock.measure
    setattr(owner, name, measure(step, function))


if __name__ == "__main__":
    main()
