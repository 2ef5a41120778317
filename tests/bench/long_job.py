"""A worker's throughput on one long document, over that on as many separate jobs with evidence as long."""

import json
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.db.models import Max, Min

from derive.contracts import JobInput
from derive.evidence.references import parse_evidence_refs
from derive.models import Job, Run
from derive.queue import JobQueue
from derive.windows.window import Window
from tests.bench.world import PASSAGE, empty_queue, fake_ollama, manage

SLOTS, LATENCY_MS = 8, 250
WINDOW_BYTES = 2_560
CHARACTERS = 570_000
"""They make 400 windows."""
MIN_RATIO = 0.9
KEY = "long_v1"
BUILT_IN = Path("derive/interrogations/sw_entity_facts_v1")
FILLER = "The lantern was lit and the log was kept in order, as on every other day of that year.\n\n"


def measure() -> dict[str, Any]:
    """Return both times, from the first claim to the last completion, and the ratio of the rates."""
    empty_queue()
    page = PASSAGE + "\n\n" + FILLER * 8
    with TemporaryDirectory() as folder, fake_ollama(latency_ms=LATENCY_MS, slots=SLOTS) as base_url:
        environment = _environment(Path(folder), base_url)
        text = page * (CHARACTERS // len(page))
        _enqueue([text])
        splitting = _work(environment, runs=1)
        refs = Job.objects.filter(parent_job_id__isnull=False).values_list("evidence_ref_json", flat=True)
        windows = [window for ref in refs for window in _windows_of(ref)]
        parts = len(windows)
        long_seconds = splitting + _work(environment, runs=parts + 1)
        assert set(Job.objects.values_list("status", flat=True)) == {"SUCCEEDED"}
        _enqueue([window.text_in(text) for window in windows])
        separate_seconds = _work(environment, runs=parts)
    ratio = separate_seconds / long_seconds
    return {
        "name": f"a document of {parts} windows, over as many jobs, {SLOTS} slots of {LATENCY_MS} ms",
        "ratio": round(ratio, 3),
        "long_seconds": round(long_seconds, 1),
        "of_them_splitting": round(splitting, 1),
        "separate_seconds": round(separate_seconds, 1),
        "target": f">= {MIN_RATIO}",
        "met": ratio >= MIN_RATIO,
    }


def _environment(folder: Path, base_url: str) -> dict[str, str]:
    """Return that of a worker with an interrogation that reads long evidence in parts."""
    made = folder / KEY
    made.mkdir()
    for name in ("prompt.md", "output.py", "rubric.md"):
        shutil.copy(BUILT_IN / name, made)
    with (made / "output.py").open("a") as file:
        file.write('\nfrom derive.contracts import Bounds\nLONG_EVIDENCE = "split"\n')
        file.write(f"BOUNDS = Bounds(max_item_bytes={WINDOW_BYTES})\n")
    return {
        "OLLAMA_BASE_URL": base_url,
        "WORKER_CONCURRENCY": str(SLOTS),
        "HOLOCRON_INTERROGATIONS": str(folder),
        "LOG_FORMAT": "text",
    }


def _windows_of(evidence_ref_json: str) -> tuple[Window, ...]:
    part = parse_evidence_refs(evidence_ref_json).part
    return () if part is None else part.windows


def _enqueue(texts: list[str]) -> None:
    jobs = [
        JobInput(
            interrogation_key=KEY,
            input_json=json.dumps(
                {
                    "entity_type": "character",
                    "entity_id": f"tala-{n}",
                    "extra_params": {"evidence": [{"evidence_id": "e1", "source_uri": "urn:bench:1", "text": text}]},
                }
            ),
        )
        for n, text in enumerate(texts)
    ]
    JobQueue().enqueue_many(jobs, actor="bench")


def _work(environment: dict[str, str], *, runs: int) -> float:
    """Run a worker for so many runs; return the seconds from its first claim to its last completion."""
    last_seq = Run.objects.aggregate(last=Max("run_seq"))["last"] or 0
    manage("run_llm_worker", "--max-jobs", str(runs), environment=environment)
    span = Run.objects.filter(run_seq__gt=last_seq).aggregate(first=Min("started_utc"), last=Max("completed_utc"))
    return float((span["last"] - span["first"]).total_seconds())
