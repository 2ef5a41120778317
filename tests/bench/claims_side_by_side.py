"""``python -m tests.bench.claims_side_by_side OTHER_TREE [ROUNDS]``: claims a second of this tree and of another.

Each has a PostgreSQL of its own, so that the trees may differ in their SQL. One connection claims one job at a time;
the trees take turns every few claims, and neither always goes first: whatever else the machine does slows both.
"""

import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from rich.console import Console

from tests.bench.world import ROOT

ROUNDS = 60
CLAIMS = 25

DRIVER = f"""
import sys, time
import django
django.setup()
from django.db import connection
from derive.contracts import JobInput
from derive.queue import JobQueue
queue = JobQueue()
options = {{}}
try:
    from derive.contracts import ANY_MODEL, ModelServer, ServedModel
    options = {{"server": ModelServer(default="m", serving="m", models=(ServedModel(model=ANY_MODEL),))}}
except ImportError:
    pass
with connection.cursor() as cursor:
    cursor.execute("TRUNCATE llm.job CASCADE")
jobs = int(sys.argv[1])
for _ in range(0, jobs, 1_000):
    queue.enqueue_many([JobInput(interrogation_key="bench", input_json="{{}}")] * 1_000, actor="bench")
with connection.cursor() as cursor:
    cursor.execute("SELECT pg_backend_pid()")
    busy = f"/proc/{{cursor.fetchone()[0]}}/schedstat"

def used():
    return time.process_time() + int(open(busy).read().split()[0]) / 1e9

print("ready", flush=True)
for line in sys.stdin:
    how = options if line.strip() == "as a worker" else {{}}
    begun, used_before = time.perf_counter(), used()
    for _ in range({CLAIMS}):
        assert len(queue.claim("bench", **how)) == 1
    print(time.perf_counter() - begun, used() - used_before, flush=True)
"""


def main() -> int:
    other, rounds = Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else ROUNDS
    drivers = {tree: _driver(tree, jobs=2 * CLAIMS * (rounds + 1)) for tree in (ROOT, other)}
    ways = ("naming no server", "as a worker")
    spent: dict[tuple[str, Path], list[tuple[float, float]]] = {(way, tree): [] for way in ways for tree in drivers}
    try:
        for n in range(rounds + 1):
            for way in ways:
                for tree in (ROOT, other) if n % 2 else (other, ROOT):
                    seconds = _seconds_of_claims(drivers[tree], way)
                    if n:  # the first round fills caches
                        spent[way, tree].append(seconds)
    finally:
        for driver in drivers.values():
            driver.kill()
            driver.wait()
    console = Console()
    for way in ways:
        (mine, mine_used), (others, others_used) = (
            [median(column) / CLAIMS for column in zip(*spent[way, tree], strict=True)] for tree in (ROOT, other)
        )
        console.print(
            f"{way}: this tree {1 / mine:.0f} claims/s, the other {1 / others:.0f}: {others / mine:.3f} of it; "
            f"processor time of client and server {mine_used * 1000:.2f} ms a claim, {others_used * 1000:.2f}: "
            f"{mine_used / others_used:.3f} of it; medians of {rounds} rounds"
        )
    return 0


def _driver(tree: Path, *, jobs: int) -> subprocess.Popen[str]:
    """Start a process of the tree that claims when it is told to, on the tree's own database."""
    environment = os.environ | {
        "DJANGO_SETTINGS_MODULE": "holocron.settings",
        "HOLOCRON_VAR": str(tree / "var/bench"),
        "PYTHONPATH": str(tree),
    }
    for name in ("DATABASE_URL", "LAKE_URL"):
        environment.pop(name, None)
    subprocess.run([sys.executable, "manage.py", "migrate"], cwd=tree, env=environment, check=True, capture_output=True)
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(jobs)],
        cwd=tree,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert driver.stdout is not None
    assert driver.stdout.readline().strip() == "ready", f"the tree {tree} does not start"
    return driver


def _seconds_of_claims(driver: subprocess.Popen[str], way: str) -> tuple[float, float]:
    """Return the seconds that a block of claims took, and the processor time of the client and its server process."""
    assert driver.stdin is not None
    assert driver.stdout is not None
    driver.stdin.write(f"{way}\n")
    driver.stdin.flush()
    seconds, used = map(float, driver.stdout.readline().split())
    return seconds, used


if __name__ == "__main__":
    sys.exit(main())
