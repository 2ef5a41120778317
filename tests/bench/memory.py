"""Resident memory of a worker whose 64 slots are all busy."""

import os
import subprocess
import sys
import time
from typing import Any

import psutil

from tests.bench.pipeline import enqueue
from tests.bench.world import ROOT, START_SECONDS, fake_ollama

SLOTS = 64
MAX_MB = 150
LATENCY_MS = 2_000
SECONDS = 10.0


def measure() -> dict[str, Any]:
    """Return the largest resident size seen while the slots are busy."""
    from derive.models import Run

    with fake_ollama(latency_ms=LATENCY_MS, slots=SLOTS) as base_url:
        enqueue(SLOTS * 10)
        worker = subprocess.Popen(
            [sys.executable, "manage.py", "run_llm_worker", "--concurrency", str(SLOTS)],
            cwd=ROOT,
            env=os.environ | {"OLLAMA_BASE_URL": base_url},
            stderr=subprocess.DEVNULL,
        )
        try:
            process = psutil.Process(worker.pid)
            begun = time.monotonic()
            while Run.objects.filter(status="RUNNING").count() < SLOTS:
                assert time.monotonic() - begun < START_SECONDS, "the slots were never all busy"
            largest, until = 0, time.monotonic() + SECONDS
            while time.monotonic() < until:
                largest = max(largest, process.memory_info().rss)
                time.sleep(0.05)
        finally:
            worker.terminate()
            worker.wait(START_SECONDS)
    mb = round(largest / 2**20)
    return {"name": f"memory, {SLOTS} slots busy", "resident_mb": mb, "target": f"<= {MAX_MB} MB", "met": mb <= MAX_MB}
