"""``make profile``: what a job costs a worker's processor, by step, as a table; and a flame graph of the same work.

In a world of its own, on a stand-in server that answers after 100 ms. The table is exact (see ``clock``): the
difference of a long and a short run, so that no start is in it. The flame graph is py-spy's, of who holds the
interpreter.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench.cost import LATENCY_MS
from tests.bench.pipeline import SLOTS, enqueue
from tests.bench.world import ROOT, empty_queue, fake_ollama, manage
from tests.profile.worker import STEPS

SHORT, LONG = 300, 1_500
SAMPLES_A_SECOND = "250"
FLAME_GRAPH = Path("var/bench/flame.svg")
REST = "event loop, threads, the rest"


def main() -> int:
    os.environ.update({"DJANGO_SETTINGS_MODULE": "holocron.settings", "HOLOCRON_VAR": "var/bench"})
    for name in ("DATABASE_URL", "LAKE_URL"):
        os.environ.pop(name, None)
    console = Console()
    manage("migrate", environment={})

    import django

    django.setup()
    empty_queue()
    with fake_ollama(latency_ms=LATENCY_MS, slots=SLOTS) as base_url:
        short, long = _nanoseconds_by_step(base_url, SHORT), _nanoseconds_by_step(base_url, LONG)
        drawn = _draw(base_url, SHORT)
    _show({step: (long[step] - short[step]) / 1e6 / (LONG - SHORT) for step in (*STEPS, "logs", REST)}, console)
    console.print(f"flame graph: {FLAME_GRAPH}" if drawn else "no flame graph: py-spy may not look at processes here")
    return 0


def _nanoseconds_by_step(base_url: str, jobs: int) -> Counter[str]:
    told = ROOT / "var/bench/steps.json"
    _work(base_url, jobs, sys.executable, "-m", "tests.profile.worker", str(told))
    answer = json.loads(told.read_text())
    spent = Counter[str](answer["steps"])
    spent[REST] = answer["whole"] - spent.total()
    return spent


def _draw(base_url: str, jobs: int) -> bool:
    py_spy = [str(Path(sys.executable).with_name("py-spy")), "record", "--gil", "--rate", SAMPLES_A_SECOND]
    try:
        _work(
            base_url,
            jobs,
            *(*py_spy, "--output", str(FLAME_GRAPH), "--", sys.executable, "manage.py", "run_llm_worker"),
        )
    except (subprocess.CalledProcessError, FileNotFoundError):
        return False
    return True


def _work(base_url: str, jobs: int, *command: str) -> None:
    enqueue(jobs)
    subprocess.run(
        [*command, "--concurrency", str(SLOTS), "--max-jobs", str(jobs)],
        cwd=ROOT,
        env=os.environ | {"OLLAMA_BASE_URL": base_url, "LOG_FORMAT": "text"},
        check=True,
        capture_output=True,
    )


def _show(milliseconds: dict[str, float], console: Console) -> None:
    table = Table("step", "ms a job", box=None)
    for step, ms in sorted(milliseconds.items(), key=lambda pair: -pair[1]):
        table.add_row(step, f"{ms:.2f}")
    table.add_row("all", f"{sum(milliseconds.values()):.2f}")
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
