"""Bytes a second of a full ``verify_runs``, over those of ``sha256sum`` on the very same files."""

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.bench.world import PASSAGE, empty_queue, fake_ollama, manage

RUNS = 10_000
"""Some seconds of work, so that the half second in which the processes start is a small part of it."""
SLOTS = 16
EVIDENCE_BYTES = 7_000
"""Of each of two items: near the bound on an item."""
TOKENS = 120
"""Lines of the answer's stream: each token is one."""
ROUNDS = 3
TARGET = 0.5


def measure() -> dict[str, Any]:
    """Return both speeds, taken in turns with the files in the page cache, and the ratio of their medians."""
    from django.conf import settings

    lake = Path(settings.LAKE_URL) / "llm_runs"
    shutil.rmtree(lake, ignore_errors=True)
    empty_queue()
    _make_runs()
    summaries, hashed = [], []
    for _ in range(ROUNDS):
        hashed.append(_hash(lake))
        summaries.append(_verify())
    summary = sorted(summaries, key=lambda one: one["megabytes_per_second"])[ROUNDS // 2]
    bare = sorted(hashed)[ROUNDS // 2]
    ratio = summary["megabytes_per_second"] / bare
    return {
        "name": "verify_runs, full",
        "runs": summary["runs"],
        "runs_per_second": summary["runs_per_second"],
        "verify_mb_per_second": summary["megabytes_per_second"],
        "sha256sum_mb_per_second": round(bare, 1),
        "ratio": round(ratio, 3),
        "target": f">= {TARGET}",
        "met": ratio >= TARGET,
    }


def _make_runs() -> None:
    """Let a real worker make the runs, each about evidence of its own."""
    from derive.contracts import JobInput
    from derive.queue import JobQueue

    text = (PASSAGE + " ") * (EVIDENCE_BYTES // len(PASSAGE))
    jobs = []
    for n in range(RUNS):
        items = [{"evidence_id": f"e{item}", "source_uri": None, "text": f"{n}: {text}"} for item in (1, 2)]
        given = {"entity_type": "character", "entity_id": f"tala-{n}", "source_refs": []}
        input_json = json.dumps(given | {"extra_params": {"evidence": items}})
        jobs.append(JobInput(interrogation_key="sw_entity_facts_v1", input_json=input_json))
    JobQueue().enqueue_many(jobs, actor="bench")
    with fake_ollama(latency_ms=0, slots=SLOTS, pieces=TOKENS) as base_url:
        manage(
            *("run_llm_worker", "--concurrency", str(SLOTS), "--max-jobs", str(RUNS)),
            environment={"OLLAMA_BASE_URL": base_url, "LOG_FORMAT": "text"},
        )


def _verify() -> dict[str, Any]:
    """Verify every run there is; raise CalledProcessError unless all verify."""
    printed = manage("verify_runs", "--json", environment={}).stdout
    summary: dict[str, Any] = json.loads(printed.splitlines()[-1])
    return summary


def _hash(folder: Path) -> float:
    """Return millions of bytes a second of sha256sum over every file below the folder."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = b"\0".join(str(path).encode() for path in files)
    begun = time.perf_counter()
    subprocess.run(["xargs", "-0", "sha256sum"], input=names, stdout=subprocess.DEVNULL, check=True)  # noqa: S607
    seconds = time.perf_counter() - begun
    return sum(path.stat().st_size for path in files) / 1e6 / seconds
