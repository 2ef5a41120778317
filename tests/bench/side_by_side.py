"""``python -m tests.bench.side_by_side OTHER_TREE [ROUNDS]``: what a job costs this tree's worker and another tree's.

Both work on one queue at the same time, so that whatever else the machine does slows both: a difference of a twentieth
shows where runs one after the other differ by a quarter. The other tree must have the same SQL scripts. Each round
takes a long run less a short one, so that no start is in it, and ends with the bare httpx loop.
"""

import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from rich.console import Console

from tests.bench.cost import LATENCY_MS, of_bare_loop
from tests.bench.pipeline import SLOTS, enqueue
from tests.bench.world import ROOT, empty_queue, fake_ollama, manage

SHORT, LONG = 100, 600
ROUNDS = 6


def main() -> int:
    other, rounds = Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS
    os.environ.update({"DJANGO_SETTINGS_MODULE": "holocron.settings", "HOLOCRON_VAR": str(ROOT / "var/bench")})
    for name in ("DATABASE_URL", "LAKE_URL"):
        os.environ.pop(name, None)
    manage("migrate", environment={})

    import django

    django.setup()
    empty_queue()
    console = Console()
    found: list[tuple[float, float, float]] = []
    with fake_ollama(latency_ms=LATENCY_MS, slots=2 * SLOTS) as base_url:
        for n in range(rounds):
            # In turns, so that neither always starts first.
            order = (ROOT, other) if n % 2 else (other, ROOT)
            long, short = (_at_once(order, base_url, jobs) for jobs in (LONG, SHORT))
            mine, others = ((long[tree] - short[tree]) / (LONG - SHORT) * 1000 for tree in (ROOT, other))
            found.append((mine, others, sum(of_bare_loop(base_url, LONG))))
            console.print(
                "this tree {:.2f} ms a job, the other {:.2f}; bare loop {:.2f} ms a request".format(*found[-1])
            )
    console.print(
        "medians: this tree {:.2f} ms a job, the other {:.2f}; bare loop {:.2f} ms a request".format(
            *(median(column) for column in zip(*found, strict=True))
        )
    )
    console.print(
        f"medians of the rounds: {median(mine / others for mine, others, _ in found):.2f} of the other tree, "
        f"{median(mine / bare for mine, _, bare in found):.1f} times the bare loop"
    )
    return 0


def _at_once(trees: tuple[Path, ...], base_url: str, jobs: int) -> dict[Path, float]:
    """Let a worker of each tree work off so many jobs; return each one's seconds of processor time."""
    enqueue(jobs * len(trees))
    environment = os.environ | {"OLLAMA_BASE_URL": base_url, "LOG_FORMAT": "text"}
    command = [sys.executable, "manage.py", "run_llm_worker", "--concurrency", str(SLOTS), "--max-jobs", str(jobs)]
    workers = [
        (
            tree,
            subprocess.Popen(command, cwd=tree, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL),
        )
        for tree in trees
    ]
    seconds = {}
    for tree, worker in workers:
        _, status, used = os.wait4(worker.pid, 0)
        worker.returncode = os.waitstatus_to_exitcode(status)
        if worker.returncode:
            raise RuntimeError(f"the worker of {tree} ended with {worker.returncode}: has it the same SQL scripts?")
        seconds[tree] = used.ru_utime + used.ru_stime
    return seconds


if __name__ == "__main__":
    sys.exit(main())
