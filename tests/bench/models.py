"""Jobs that ask for three models in turn, on a server that loads one for 3 s: served in turns, and in strict order."""

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from tests.bench.pipeline import enqueue
from tests.bench.world import empty_queue, manage, model_server

MODELS = ("alpha", "beta", "gamma")
LOAD_MS, LATENCY_MS = 3_000, 100
JOBS = 300
STRICT_JOBS = 9
"""In strict order each job loads a model: so few take as long as 300 in turns."""
QUANTUM_SECONDS = 8
"""Shorter than any default, so that 300 jobs take several turns."""
MIN_RATIO = 5


def measure() -> Iterator[dict[str, Any]]:
    """Yield the jobs/s of both orders and their ratio, then the longest time for which a model was not served."""
    with model_server(latency_ms=LATENCY_MS, load_ms=LOAD_MS, slots=1, models=MODELS) as (url, _):
        strict, _ = _work(url, STRICT_JOBS, affinity="off")
        in_turns, longest = _work(url, JOBS, affinity="on")
    yield {
        "name": f"{len(MODELS)} models in turn, loaded in {LOAD_MS / 1000:g} s",
        "jobs_per_second": round(in_turns, 2),
        f"in_strict_order_of_{STRICT_JOBS}_jobs": round(strict, 2),
        "ratio": round(in_turns / strict, 1),
        "target": f">= {MIN_RATIO}",
        "met": in_turns / strict >= MIN_RATIO,
    }
    bound = (len(MODELS) - 1) * QUANTUM_SECONDS + len(MODELS) * LOAD_MS / 1000
    yield {
        "name": f"longest wait of a model, quanta of {QUANTUM_SECONDS} s",
        "seconds": round(longest, 1),
        "target": f"<= {bound:g}",
        "met": longest <= bound,
    }


def _work(url: str, jobs: int, *, affinity: str) -> tuple[float, float]:
    """Work the jobs off; return jobs a second, and the longest time between two claims of a model that had jobs."""
    from derive.models import Run

    empty_queue()
    enqueue(jobs, models=MODELS)
    begun = time.perf_counter()
    manage(
        *("run_llm_worker", "--concurrency", "1", "--max-jobs", str(jobs)),
        environment={
            "OLLAMA_BASE_URL": url,
            "OLLAMA_MODEL": MODELS[0],
            "MODEL_AFFINITY": affinity,
            "MODEL_QUANTUM_SECONDS": str(QUANTUM_SECONDS),
            "LOG_FORMAT": "text",
        },
    )
    spent = time.perf_counter() - begun
    runs = list(Run.objects.filter(status="SUCCEEDED").order_by("started_utc").values_list("model_name", "started_utc"))
    assert len(runs) == jobs, f"{len(runs)} of {jobs} jobs succeeded"
    first = runs[0][1]
    starts = {model: [first, *(at for name, at in runs if name == model)] for model in MODELS}
    return jobs / spent, max(
        (later - earlier).total_seconds() for times in starts.values() for earlier, later in pairwise(times)
    )
