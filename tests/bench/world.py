"""A world of its own for measurements: an embedded PostgreSQL, a lake, a model server, and the real commands."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60

PASSAGE = (
    "Tala Venn was born on Corvessa and flew courier ships for nine years before she took command of the frigate "
    "Patient Lantern. She speaks four languages and owns a droid called Umber."
)
ANSWER = json.dumps(
    {
        "facts": [
            {
                "fact_key": "homeworld",
                "value": "Corvessa",
                "confidence": 95,
                "evidence_ids": ["e1"],
                "quote": "Tala Venn was born on Corvessa",
            },
            {
                "fact_key": "commands",
                "value": "Patient Lantern",
                "confidence": 90,
                "evidence_ids": ["e1"],
                "quote": "she took command of the frigate Patient Lantern",
            },
        ]
    }
)


TABLES = (
    *("fact_review", "review_policy", "fact", "fact_set", "artifact", "run", "job_event", "job"),
    *("stat_hour", "stat_hour_time", "stat_mark"),
)
"""What jobs leave, children before parents."""


def empty_queue() -> None:
    """Take all jobs, and all that they left in SQL; what an earlier measurement left would be measured as well."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(f"TRUNCATE {', '.join(f'llm.{table}' for table in TABLES)}")


@contextmanager
def fake_ollama(*, latency_ms: float, slots: int, pieces: int = 4) -> Iterator[str]:
    """Run the fake Ollama as a process and yield its address; an answer comes in ``pieces`` lines."""
    with model_server(latency_ms=latency_ms, slots=slots, pieces=pieces) as (url, _process):
        yield url


@contextmanager
def model_server(
    *, latency_ms: float, slots: int, pieces: int = 4, load_ms: float = 0, models: Sequence[str] = ()
) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run the fake Ollama as a process and yield its address and the process, which may be killed meanwhile."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.fake_ollama", "--latency-ms", str(latency_ms), "--slots", str(slots)),
            *("--content", ANSWER, "--pieces", str(pieces), "--load-ms", str(load_ms)),
            *(option for model in models for option in ("--model", model)),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline().split()[-1])
        yield f"http://127.0.0.1:{port}", process
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def openai_endpoint(url: str, *, slots: int, folder: Path) -> dict[str, str]:
    """Return the environment of a worker that asks this server alone, in the OpenAI-compatible protocol."""
    file = folder / "endpoints.toml"
    file.write_text(f'[[endpoint]]\nname = "measured"\nurl = "{url}"\nprotocol = "openai"\nslots = {slots}\n')
    return {"HOLOCRON_ENDPOINTS": str(file)}


def manage(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command of manage.py to its end; raise CalledProcessError when it fails."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        check=True,
        capture_output=True,
        text=True,
    )
