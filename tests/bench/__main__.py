"""``python -m tests.bench [NAME …]``: measures in a world of its own, prints a table, and JSON as its last line."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.world import manage

Result = dict[str, Any]


def _pipeline() -> Iterator[Result]:
    from tests.bench import pipeline

    yield pipeline.measure(latency_ms=500, jobs=800, rounds=3)
    yield pipeline.measure(latency_ms=100, jobs=3200, rounds=3)


def _pipeline_openai() -> Iterator[Result]:
    from derive.model_servers.settings import Protocol
    from tests.bench import pipeline

    yield pipeline.measure(latency_ms=500, jobs=800, rounds=3, protocol=Protocol.OPENAI)
    yield pipeline.measure(latency_ms=100, jobs=3200, rounds=3, protocol=Protocol.OPENAI)


def _cost() -> Iterator[Result]:
    from tests.bench import cost

    yield cost.measure()


def _queue() -> Iterator[Result]:
    from tests.bench import queue_only

    yield from queue_only.measure()


def _enqueue() -> Iterator[Result]:
    from tests.bench import enqueue

    yield enqueue.measure()


def _memory() -> Iterator[Result]:
    from tests.bench import memory

    yield memory.measure()


def _verify() -> Iterator[Result]:
    from tests.bench import verify

    yield verify.measure()


def _roll_up() -> Iterator[Result]:
    from tests.bench import roll_up

    yield roll_up.measure()


def _export() -> Iterator[Result]:
    from tests.bench import export

    yield from export.measure()


def _sources() -> Iterator[Result]:
    from tests.bench import sources

    yield from sources.measure()


def _derivations() -> Iterator[Result]:
    from tests.bench import derivations

    yield from derivations.measure()


def _scheduler() -> Iterator[Result]:
    from tests.bench import scheduler

    yield scheduler.measure()


def _watching() -> Iterator[Result]:
    from tests.bench import watching

    yield from watching.measure()


def _dashboard() -> Iterator[Result]:
    from tests.bench import dashboard

    yield from dashboard.measure()


def _admin() -> Iterator[Result]:
    from tests.bench import admin

    yield from admin.measure()


def _proofs() -> Iterator[Result]:
    from tests.bench import proofs

    yield proofs.measure()


def _joining() -> Iterator[Result]:
    from tests.bench import joining

    yield joining.measure()


def _long_job() -> Iterator[Result]:
    from tests.bench import long_job

    yield long_job.measure()


def _scoring() -> Iterator[Result]:
    from tests.bench import scoring

    yield scoring.measure()


def _facts() -> Iterator[Result]:
    from tests.bench import facts

    yield facts.measure()


def _fact_pages() -> Iterator[Result]:
    from tests.bench import fact_pages

    yield from fact_pages.measure()


def _prompt_cache() -> Iterator[Result]:
    from tests.bench import prompt_cache

    yield prompt_cache.measure()


def _models() -> Iterator[Result]:
    from tests.bench import models

    yield from models.measure()


def _servers() -> Iterator[Result]:
    from tests.bench import servers

    yield from servers.measure()


def _claims() -> Iterator[Result]:
    from tests.bench import claims

    yield from claims.measure()


def _flat() -> Iterator[Result]:
    from tests.bench import flat

    yield flat.measure()


MEASUREMENTS: dict[str, Callable[[], Iterator[Result]]] = {
    "pipeline": _pipeline,
    "pipeline-openai": _pipeline_openai,
    "cost": _cost,
    "queue": _queue,
    "memory": _memory,
    "enqueue": _enqueue,
    "verify": _verify,
    "roll-up": _roll_up,
    "export": _export,
    "sources": _sources,
    "derivations": _derivations,
    "scheduler": _scheduler,
    "watching": _watching,
    "dashboard": _dashboard,
    "admin": _admin,
    "proofs": _proofs,
    "joining": _joining,
    "long-job": _long_job,
    "scoring": _scoring,
    "facts": _facts,
    "fact-pages": _fact_pages,
    "prompt-cache": _prompt_cache,
    "models": _models,
    "servers": _servers,
    # Last: they fill the queue with two million jobs.
    "claims": _claims,
    "flat": _flat,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*MEASUREMENTS, []], help="default: all")
    names = parser.parse_args().names or list(MEASUREMENTS)
    os.environ.update({"DJANGO_SETTINGS_MODULE": "holocron.settings", "HOLOCRON_VAR": "var/bench"})
    for name in ("DATABASE_URL", "LAKE_URL"):
        os.environ.pop(name, None)
    console = Console(stderr=True)
    manage("migrate", environment={})

    import django

    django.setup()
    results: list[Result] = []
    for name in names:
        console.print(f"measuring {name} …", style="dim")
        results.extend(MEASUREMENTS[name]())
    _show(results, console)
    print(json.dumps(results))  # noqa: T201 (the line for programs)
    return 0


def _show(results: list[Result], console: Console) -> None:
    table = Table("measurement", "figures", "target", "met")
    for result in results:
        figures = {key: value for key, value in result.items() if key not in {"name", "target", "met"}}
        shown = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in figures.items())
        table.add_row(result["name"], shown, result["target"], "yes" if result["met"] else "no")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
