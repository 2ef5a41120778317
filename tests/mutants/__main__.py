"""``python -m tests.mutants [PART …]``: mutates what PART names (all without one), and tells what the tests missed.

Each mutant is tested by a process of its own, forked from one that has imported everything but the project; its tests
stop at the first failure. ``accepted.toml`` lists the mutants that no test can or need tell from the code, each with
its reason. Exit code 0: at least ``--at-least`` per cent were noticed; 1: fewer were, or a target's tests fail without
any mutant; 2: could not start.
"""

import argparse
import os
import queue
import random
import signal
import sys
import tempfile
import threading
import time
import tomllib
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.mutants.mutation import PATH_VARIABLE, ROOT, TEXT_VARIABLE, Mutant
from tests.mutants.targets import TARGETS, Target

ACCEPTED = Path(__file__).with_name("accepted.toml")
SLOWEST_SECONDS = 600.0
_PASSED, _NO_TESTS, _NOT_STARTED = 0, 5, 70


@dataclass(frozen=True)
class Result:
    """What the tests said of one mutant."""

    mutant: Mutant
    noticed: bool
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("parts", nargs="*", help="parts of paths, such as backoff or usp_claim")
    parser.add_argument("--at-least", type=float, default=90.0, help="per cent that must be noticed (90)")
    parser.add_argument("--sample", type=int, default=0, help="at most so many mutants a file, drawn by --seed")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--list", action="store_true", help="list the mutants and run nothing")
    options = parser.parse_args(arguments)
    targets = [target for target in TARGETS if not options.parts or any(part in target.path for part in options.parts)]
    if not targets:
        print(f"no target matches {' '.join(options.parts)}", file=sys.stderr)
        return 2
    accepted = tomllib.loads(ACCEPTED.read_text("utf-8"))["accepted"]
    rng = random.Random(options.seed)
    work: list[tuple[Target, Mutant]] = []
    for target in targets:
        mutants = [mutant for mutant in target.mutants() if mutant.name not in accepted]
        if options.sample and len(mutants) > options.sample:
            mutants = sorted(rng.sample(mutants, options.sample), key=lambda mutant: mutant.line)
        work += [(target, mutant) for mutant in mutants]
    if options.list:
        for _, mutant in work:
            print(f"{mutant.line:5} {mutant.name}")
        return 0
    _import_what_is_not_mutated()
    limits = _seconds_unmutated(targets)
    if limits is None:
        return 1
    return _report(targets, _run_all(work, limits, processes=options.processes), at_least=options.at_least)


def _import_what_is_not_mutated() -> None:
    """Import the large packages once, before any process is forked."""


def _seconds_unmutated(targets: Sequence[Target]) -> dict[str, float] | None:
    """Return how long each target's tests take, or None when some fail as things are."""
    limits = {}
    for target in targets:
        started = time.monotonic()
        status, output = _test(target, None, process=0, limit=SLOWEST_SECONDS)
        if status != _PASSED:
            print(f"the tests of {target.path} do not pass without a mutant:\n{output[-3000:]}", file=sys.stderr)
            return None
        limits[target.path] = time.monotonic() - started
    return limits


def _run_all(work: Sequence[tuple[Target, Mutant]], limits: dict[str, float], *, processes: int) -> list[Result]:
    waiting: queue.SimpleQueue[tuple[Target, Mutant]] = queue.SimpleQueue()
    for item in work:
        waiting.put(item)
    results: list[Result] = []

    def run(process: int) -> None:
        while True:
            try:
                target, mutant = waiting.get_nowait()
            except queue.Empty:
                return
            started = time.monotonic()
            # A mutant that hangs is noticed: what hangs is stopped by pytest-timeout or here.
            status, _ = _test(target, mutant, process=process, limit=20 + 4 * limits[target.path])
            result = Result(mutant, status not in (_PASSED, _NO_TESTS), time.monotonic() - started)
            results.append(result)
            word = "noticed" if result.noticed else "SURVIVED"
            print(
                f"[{len(results)}/{len(work)}] {word} {result.seconds:5.1f} s  {mutant.line:4} {mutant.name}",
                flush=True,
            )

    threads = [threading.Thread(target=run, args=(process,)) for process in range(processes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def _test(target: Target, mutant: Mutant | None, *, process: int, limit: float) -> tuple[int, str]:
    """Fork, run the target's tests over the mutant; return pytest's exit code (−1 when it had to be killed)."""
    with tempfile.TemporaryDirectory() as folder:
        text, output = Path(folder, "mutant"), Path(folder, "output")
        if mutant is not None:
            text.write_text(mutant.text, "utf-8")
        child = os.fork()
        if child == 0:
            _become_pytest(target, mutant, text, output, process=process)
        status = _wait(child, limit)
        return status, output.read_text("utf-8", "replace") if output.exists() else ""


def _become_pytest(target: Target, mutant: Mutant | None, text: Path, output: Path, *, process: int) -> None:
    """Never return: run pytest in this process, and end it."""
    os.setsid()
    log = os.open(output, os.O_WRONLY | os.O_CREAT)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    # An engine and a world for each process: test databases of one name would be in each other's way.
    os.environ.setdefault("HOLOCRON_VAR", str(ROOT / "var" / f"mutants-{process}"))
    os.environ.pop(PATH_VARIABLE, None)
    if mutant is not None:
        os.environ |= {PATH_VARIABLE: mutant.path, TEXT_VARIABLE: str(text)}
    import pytest

    options = ["-x", "-q", "-p", "tests.mutants.plugin", "-p", "no:cacheprovider", "-p", "no:xdist", "--reuse-db"]
    status = _NOT_STARTED
    try:
        status = int(pytest.main([*options, *target.tests]))
    except BaseException:  # noqa: BLE001 (a forked process's edge: nothing of the parent may run in it)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _wait(child: int, limit: float) -> int:
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


def _report(targets: Sequence[Target], results: Sequence[Result], *, at_least: float) -> int:
    table = Table("file", "mutants", "noticed", "%", title="Mutants")
    for target in targets:
        own = [result for result in results if result.mutant.path == target.path]
        noticed = sum(result.noticed for result in own)
        table.add_row(target.path, str(len(own)), str(noticed), f"{100 * noticed / max(1, len(own)):.0f}")
    Console(width=120).print(table)
    survivors = sorted(
        (result.mutant for result in results if not result.noticed), key=lambda one: (one.path, one.line)
    )
    for mutant in survivors:
        print(f"survived: line {mutant.line}: {mutant.name}")
    share = 100 * (len(results) - len(survivors)) / max(1, len(results))
    print(f"{len(results)} mutants, {share:.1f} % noticed (wanted: {at_least:g} %)")
    return 0 if share >= at_least else 1


if __name__ == "__main__":
    sys.exit(main())
