"""``python -m tests.mutants [PART …]``: mutates the code that PART names (default: all), and reports what tests miss.

Results are stored in ``var/mutants/results.jsonl`` and are valid until the mutated file or its tests change, so an
interrupted run continues where it stopped. ``accepted.toml`` lists the survivors with reasons. Exit code 0: at least
``--at-least`` per cent of each target's mutants were killed, or all but one, and every survivor is listed. 1: they were
not, or a test fails without a mutant. 2: the run could not start.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from rich.console import Console

from tests.mutants.mutation import ROOT, Mutant
from tests.mutants.results import Journal, Result, table_of, tally
from tests.mutants.targets import TARGETS, Target

ACCEPTED = Path(__file__).with_name("accepted.toml")
RESULTS = ROOT / "var" / "mutants" / "results.jsonl"
MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 (a folder of our own is made in it)
Work = Sequence[tuple[Target, Sequence[Mutant]]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("parts", nargs="*", help="parts of paths, such as backoff or usp_claim")
    parser.add_argument("--at-least", type=float, default=90.0, help="per cent that must be killed of each file (90)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="each with its own database")
    parser.add_argument("--fresh", action="store_true", help="ignore the results of earlier runs")
    parser.add_argument("--listed", action="store_true", help="also test those that accepted.toml lists")
    parser.add_argument("--list", action="store_true", help="list the mutants with their known results; run nothing")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(1))
    work = [(target, target.mutants()) for target in _chosen(options.parts)]
    if not work:
        print(f"no target matches {' '.join(options.parts)}", file=sys.stderr)
        return 2
    journal = Journal(RESULTS)
    known = {} if options.fresh else _that_hold(work, journal.read())
    if options.list:
        _list(work, known)
        return 0
    reasons = tomllib.loads(ACCEPTED.read_text("utf-8"))
    settled = known if options.listed else {**known, **reasons["equivalent"], **reasons["accepted"]}
    left = [(target, [mutant for mutant in mutants if mutant.name not in settled]) for target, mutants in work]
    if not _run([part for part in left if part[1]], journal, processes=options.processes):
        return 1
    return _report(work, _that_hold(work, journal.read()), reasons, at_least=options.at_least)


def _chosen(parts: Sequence[str]) -> list[Target]:
    """Return the targets whose title contains one of the parts, in the order of the parts; without parts, all."""
    if not parts:
        return list(TARGETS)
    return list(dict.fromkeys(target for part in parts for target in TARGETS if part in target.title))


def _that_hold(work: Work, results: Mapping[str, Result]) -> dict[str, Result]:
    return {
        mutant.name: results[mutant.name]
        for target, mutants in work
        for mutant in mutants
        if mutant.name in results and results[mutant.name].still_holds(mutant, target)
    }


def _list(work: Work, known: Mapping[str, Result]) -> None:
    for _target, mutants in work:
        for mutant in mutants:
            verdict, killer = (
                (known[mutant.name].verdict, known[mutant.name].killed_by) if mutant.name in known else ("", "")
            )
            print(f"{mutant.line:5} {mutant.name}\n      {verdict} {killer}".rstrip())


def _run(work: Work, journal: Journal, *, processes: int) -> bool:
    """Distribute the mutants over this many processes and print each result; return whether all succeeded."""
    if not work:
        return True
    journal.path.parent.mkdir(parents=True, exist_ok=True)
    journal.path.touch()
    wanted = sum(len(mutants) for _target, mutants in work)
    with tempfile.TemporaryDirectory(dir=MEMORY_FOLDER if MEMORY_FOLDER.is_dir() else None) as folder:
        # The database server may run under another account.
        Path(folder).chmod(0o711)
        shown = journal.path.stat().st_size
        started = time.monotonic()
        sessions = [
            _Session(Path(folder, str(number)), work, journal, part=slice(number, None, processes))
            for number in range(min(processes, wanted))
        ]
        done = 0
        try:
            while any(session.is_running() for session in sessions) or journal.path.stat().st_size > shown:
                with journal.path.open("rb") as file:
                    file.seek(shown)
                    for line in file:
                        done, shown = done + 1, shown + len(line)
                        print(f"[{done}/{wanted}, {time.monotonic() - started:.0f} s] {_told(line)}", flush=True)
                time.sleep(0.1)
        finally:
            for session in sessions:
                session.stop()
        for session in sessions:
            if session.failed:
                print(session.output(), file=sys.stderr)
        return not any(session.failed for session in sessions)


def _told(line: bytes) -> str:
    result = json.loads(line)
    return f"{result['verdict']:9} {result['seconds']:5.1f} s  {result['name']}"


class _Session:
    """A process of pytest that tests its share of the mutants, with its own engine and database."""

    def __init__(self, folder: Path, work: Work, journal: Journal, *, part: slice) -> None:
        folder.mkdir(mode=0o711)
        self._log = folder / "output"
        names = [mutant.name for _target, mutants in work for mutant in mutants][part]
        plan = folder / "plan.json"
        plan.write_text(json.dumps({"names": names, "journal": str(journal.path)}), "utf-8")
        tests = dict.fromkeys(
            test
            for target, mutants in work
            if {mutant.name for mutant in mutants} & set(names)
            for test in target.tests
        )
        options = ["-q", "-n0", "--tb=native", "-p", "tests.mutants.session", "-p", "no:cacheprovider", "--create-db"]
        environment = {**os.environ, "MUTANTS_PLAN": str(plan), "HOLOCRON_VAR": str(folder / "var")}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "pytest", *options, *tests],
                cwd=ROOT,
                env=environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def is_running(self) -> bool:
        return self._process.poll() is None

    def stop(self) -> None:
        """Terminate the process if it is still running, and wait for it."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        self._process.wait()

    @property
    def failed(self) -> bool:
        return self._process.returncode != 0

    def output(self) -> str:
        return self._log.read_text("utf-8", "replace")[-5000:]


def _report(
    work: Work, results: Mapping[str, Result], reasons: Mapping[str, Mapping[str, str]], *, at_least: float
) -> int:
    tallies = [
        tally(target, mutants, results, equivalent=reasons["equivalent"], accepted=reasons["accepted"])
        for target, mutants in work
    ]
    Console(width=160).print(table_of(tallies))
    lines = {mutant.name: mutant.line for _target, mutants in work for mutant in mutants}
    for one in tallies:
        for name in one.unlisted:
            print(f"survived, and not in {ACCEPTED.name}: line {lines[name]}: {name}")
    few = [one.title for one in tallies if one.share < at_least and one.survivors > 1]
    if few:
        print(f"killed less than {at_least:g} %: {', '.join(few)}")
    return 1 if few or any(one.unlisted for one in tallies) else 0


if __name__ == "__main__":
    sys.exit(main())
