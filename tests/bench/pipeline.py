"""Jobs a second of a whole worker, over those of a bare httpx loop on the same server with the same requests."""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx

from derive.model_servers.settings import Protocol
from derive.ollama.client import OllamaClient
from derive.openai_api.client import OpenAIClient
from tests.bench.world import PASSAGE, fake_ollama, manage, openai_endpoint

SLOTS = 16
CHAT_PATHS = {Protocol.OLLAMA: OllamaClient.chat_path, Protocol.OPENAI: OpenAIClient.chat_path}
TARGETS = {500: 0.98, 100: 0.90}


def measure(*, latency_ms: int, jobs: int, rounds: int, protocol: Protocol = Protocol.OLLAMA) -> dict[str, Any]:
    """Return the rates of worker and bare loop, taken in turns, and the ratio of their medians."""
    worker_rates: list[float] = []
    bare_rates: list[float] = []
    with fake_ollama(latency_ms=latency_ms, slots=SLOTS) as base_url:
        for _ in range(rounds):
            enqueue(jobs)
            worker_rates.append(_run_worker(base_url, jobs, protocol))
            bodies = request_bodies(jobs)
            bare_rates.append(asyncio.run(run_bare(base_url, bodies, path=CHAT_PATHS[protocol])))
    worker, bare = sorted(worker_rates)[rounds // 2], sorted(bare_rates)[rounds // 2]
    return {
        "name": f"pipeline, {protocol.value}, {latency_ms} ms in {SLOTS} slots",
        "worker_jobs_per_second": round(worker, 1),
        "bare_jobs_per_second": round(bare, 1),
        "ratio": round(worker / bare, 3),
        "target": f">= {TARGETS[latency_ms]}",
        "met": worker / bare >= TARGETS[latency_ms],
    }


def enqueue(jobs: int, *, models: Sequence[str | None] = (None,)) -> None:
    """Queue that many jobs, each about evidence of its own, which ask for the models in turn."""
    import json

    from derive.contracts import JobInput
    from derive.queue import JobQueue

    JobQueue().enqueue_many(
        [
            JobInput(
                interrogation_key="sw_entity_facts_v1",
                model_hint=models[n % len(models)],
                input_json=json.dumps(
                    {
                        "entity_type": "character",
                        "entity_id": f"tala-{n}",
                        "source_refs": [],
                        "extra_params": {
                            "evidence": [{"evidence_id": "e1", "source_uri": f"urn:bench:{n}", "text": PASSAGE}]
                        },
                    }
                ),
            )
            for n in range(jobs)
        ],
        actor="bench",
    )


def _run_worker(base_url: str, jobs: int, protocol: Protocol) -> float:
    """Run a worker over the whole queue; return jobs a second from its first claim to its last completion."""
    from django.db.models import Max, Min

    from derive.models import Run

    last_seq = Run.objects.aggregate(last=Max("run_seq"))["last"] or 0
    with TemporaryDirectory() as folder:
        if protocol is Protocol.OPENAI:
            server = openai_endpoint(base_url, slots=SLOTS, folder=Path(folder))
        else:
            server = {"OLLAMA_BASE_URL": base_url, "WORKER_CONCURRENCY": str(SLOTS)}
        manage("run_llm_worker", "--max-jobs", str(jobs), environment=server | {"LOG_FORMAT": "text"})
    runs = Run.objects.filter(run_seq__gt=last_seq)
    assert runs.filter(status="SUCCEEDED").count() == jobs
    span = runs.aggregate(first=Min("started_utc"), last=Max("completed_utc"))
    return float(jobs / (span["last"] - span["first"]).total_seconds())


def request_bodies(jobs: int) -> list[bytes]:
    """Return the exact bytes that the last runs sent, out of the lake."""
    from django.conf import settings

    from derive.lake import Lake
    from derive.models import Artifact

    lake = Lake.open(settings.LAKE_URL)
    uris = Artifact.objects.filter(artifact_type="request_json").order_by("-artifact_seq")[:jobs]
    return [lake.read(artifact.lake_uri) for artifact in uris]


async def run_bare(base_url: str, bodies: Sequence[bytes], *, path: str = OllamaClient.chat_path) -> float:
    """Post all bodies, as many at a time as there are slots, and read the answers; return answers a second."""
    waiting = iter(bodies)
    limits = httpx.Limits(max_connections=SLOTS, max_keepalive_connections=SLOTS)
    async with httpx.AsyncClient(base_url=base_url, timeout=60, limits=limits, trust_env=False) as client:

        async def one_slot() -> None:
            for body in waiting:
                response = await client.post(path, content=body)
                response.raise_for_status()

        begun = time.perf_counter()
        await asyncio.gather(*(one_slot() for _ in range(SLOTS)))
        return len(bodies) / (time.perf_counter() - begun)
