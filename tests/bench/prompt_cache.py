"""What a real server's prompt cache saves, and the order of a prompt that lets it: llama.cpp's, 200 documents.

Every document is another one, and each prompt shows one; the built-in interrogation asks of all. The old order is the
same text with the entity near the top and rubric and schema last. ``BENCH_MODEL`` names another model (GGUF) than the
tiny one, whose tokens are bytes, and ``BENCH_DOCUMENTS`` how many documents.
"""

import json
import os
import random
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.bench.world import empty_queue, manage, openai_endpoint
from tests.real_servers.servers import RealServer, llama_server

DOCUMENTS = 200
SENTENCES = 12
WINDOW = 16_384
NEW, OLD = "sw_entity_facts_v1", "old_order_v1"
OLD_ORDER = ("Task", "Entity", "Rules", "Evidence", "Answer", "Check before you answer", "Form of the answer")
TARGET = 0.5


def measure() -> dict[str, Any]:
    """Return the share of prompt tokens from the cache after the first document, and jobs a second, in both orders."""
    model = os.environ.get("BENCH_MODEL")
    documents = int(os.environ.get("BENCH_DOCUMENTS") or DOCUMENTS)
    texts = _texts(documents)
    with TemporaryDirectory() as name:
        folder = Path(name)
        _write_old_order(folder / "interrogations" / OLD)
        with llama_server(folder, window=WINDOW, model=Path(model) if model else None) as server:
            settings = _settings(server, folder)
            old, new = (_run(key, texts, settings) for key in (OLD, NEW))
    return {
        "name": f"prompt cache of llama.cpp's server, {documents} documents",
        "model": Path(model).stem if model else "tiny",
        "prompt_tokens_a_document": round(new["tokens"]),
        "from_the_cache": round(new["cached"], 3),
        "from_the_cache_in_the_old_order": round(old["cached"], 3),
        "jobs_per_second": round(new["jobs_per_second"], 2),
        "jobs_per_second_in_the_old_order": round(old["jobs_per_second"], 2),
        "ratio": round(new["jobs_per_second"] / old["jobs_per_second"], 2),
        "target": f">= {TARGET} from the cache",
        "met": new["cached"] >= TARGET,
    }


def _texts(documents: int) -> list[str]:
    """Return texts of the demo's sentences, each drawn anew: of some 1,200 characters, and no two the same."""
    from derive.demo.samples import load_samples

    evidence = [
        item["text"]
        for sample in load_samples()
        for item in json.loads(sample.job.input_json).get("extra_params", {}).get("evidence", [])
    ]
    sentences = sorted({sentence for text in evidence for sentence in re.findall(r"[A-Z][^.]{40,160}\.", text)})
    drawn = random.Random(0)
    return [" ".join(drawn.sample(sentences, SENTENCES)) for _ in range(documents)]


def _write_old_order(folder: Path) -> None:
    """Write the built-in interrogation with its prompt's sections in the order that they once had."""
    from derive.interrogations import sw_entity_facts_v1

    shutil.copytree(Path(sw_entity_facts_v1.__file__).parent, folder, ignore=shutil.ignore_patterns("__*"))
    prompt = folder / "prompt.md"
    beginning, *sections = re.split(r"(?m)^# ", prompt.read_text())
    of_title = {section.partition("\n")[0]: section for section in sections}
    assert sorted(of_title) == sorted(OLD_ORDER)
    prompt.write_text(beginning + "".join(f"# {of_title[title].rstrip()}\n\n" for title in OLD_ORDER))


def _settings(server: RealServer, folder: Path) -> dict[str, str]:
    """Return the environment of a worker that asks this server alone, an answer at a time."""
    return openai_endpoint(server.url, slots=1, folder=folder) | {
        "HOLOCRON_INTERROGATIONS": str(folder / "interrogations"),
        "OLLAMA_MODEL": server.model,
        "OLLAMA_NUM_CTX": str(server.window),
        "OLLAMA_NUM_PREDICT": "64",
    }


def _run(key: str, texts: list[str], environment: dict[str, str]) -> dict[str, float]:
    """Let a worker answer a job about each text; whatever a model says, each ends with its first answer."""
    from django.conf import settings
    from django.db.models import Max, Min

    from derive.contracts import JobInput
    from derive.lake import Lake
    from derive.models import Run
    from derive.queue import JobQueue

    empty_queue()
    evidence = ([{"evidence_id": "e1", "source_uri": f"urn:bench:{n}", "text": text}] for n, text in enumerate(texts))
    jobs = [
        JobInput(
            interrogation_key=key,
            input_json=json.dumps(
                {"entity_type": "character", "entity_id": f"person-{n:03}", "extra_params": {"evidence": items}}
            ),
            max_attempts=1,
        )
        for n, items in enumerate(evidence)
    ]
    JobQueue().enqueue_many(jobs, actor="bench")
    manage("run_llm_worker", "--max-jobs", str(len(jobs)), environment=environment)
    lake = Lake.open(settings.LAKE_URL)
    runs = list(Run.objects.order_by("run_seq"))
    usages = [
        json.loads(lake.read(f"{Lake.run_folder(run.started_utc, run.run_id)}/response.json"))["usage"] for run in runs
    ]
    assert len(usages) == len(jobs)
    read = sum(usage["prompt_tokens"] for usage in usages[1:])
    cached = sum(usage["prompt_tokens_details"]["cached_tokens"] for usage in usages[1:])
    span = Run.objects.aggregate(first=Min("started_utc"), last=Max("completed_utc"))
    return {
        "tokens": read / (len(usages) - 1),
        "cached": cached / read,
        "jobs_per_second": len(jobs) / (span["last"] - span["first"]).total_seconds(),
    }
