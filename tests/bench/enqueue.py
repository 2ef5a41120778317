"""Jobs a second of ``manage.py enqueue_jobs`` over a file of JSONL, validation included, and its memory."""

import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.bench.world import PASSAGE, ROOT, manage

LINES = 100_000
FEW_LINES = 1_000
MAX_GROWTH_MB = 20


def measure() -> dict[str, Any]:
    """Return the rate of the whole command, and how much more memory 100,000 lines take than 1,000."""
    with tempfile.TemporaryDirectory(dir=ROOT / "var") as folder:
        file = Path(folder) / "jobs.jsonl"
        _write(file, FEW_LINES)
        manage("enqueue_jobs", str(file), environment={})
        few_mb = largest_child_mb()
        _write(file, LINES)
        begun = time.perf_counter()
        manage("enqueue_jobs", str(file), environment={})
        seconds = time.perf_counter() - begun
    growth_mb = largest_child_mb() - few_mb
    rate = LINES / seconds
    return {
        "name": f"enqueue, {LINES} lines of JSONL",
        "jobs_per_second": round(rate),
        "resident_mb": largest_child_mb(),
        "growth_mb": growth_mb,
        "target": ">= 10000 jobs/s, constant memory",
        "met": rate >= 10_000 and growth_mb <= MAX_GROWTH_MB,
    }


def largest_child_mb() -> int:
    """Return the resident memory of the largest process run so far and waited for."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024


def _write(file: Path, lines: int) -> None:
    with file.open("w", encoding="utf-8") as out:
        for n in range(lines):
            evidence = [{"evidence_id": "e1", "source_uri": f"urn:bench:{n}", "text": PASSAGE}]
            job = {
                "interrogation_key": "sw_entity_facts_v1",
                "entity_type": "character",
                "entity_id": f"tala-{n}",
                "priority": 10,
                "input": {
                    "entity_type": "character",
                    "entity_id": f"tala-{n}",
                    "source_refs": [],
                    "extra_params": {"evidence": evidence},
                },
            }
            out.write(json.dumps(job) + "\n")
