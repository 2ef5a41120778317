"""What the tests said of each mutant: a journal that a run appends to and the next one reads, and a table of it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from rich.table import Table

from tests.mutants.mutation import Mutant, digest_of
from tests.mutants.targets import Target


class Verdict(StrEnum):
    """What became of a mutant."""

    KILLED = "killed"
    TIMED_OUT = "timed out"
    """A test hung: it noticed the mutant as well."""
    SURVIVED = "SURVIVED"
    INVALID = "invalid"
    """The database does not take the script: nobody could run such a mutant, and it counts for nothing."""


@dataclass(frozen=True)
class Result:
    """One mutant's verdict, by which test (empty: none), and the hashes that it holds for."""

    name: str
    verdict: Verdict
    killed_by: str
    seconds: float
    text_sha256: str
    tests_sha256: str

    @classmethod
    def of(cls, mutant: Mutant, target: Target, verdict: Verdict, killed_by: str, seconds: float) -> "Result":
        """Make a result with the hashes of what was run."""
        tests = _deciding_tests(target, killed_by)
        return cls(mutant.name, verdict, killed_by, round(seconds, 2), mutant.sha256, digest_of(tests))

    def still_holds(self, mutant: Mutant, target: Target) -> bool:
        """Whether neither the mutant nor the tests that decided have changed."""
        try:
            tests = digest_of(_deciding_tests(target, self.killed_by))
        except OSError:
            return False
        return (self.text_sha256, self.tests_sha256) == (mutant.sha256, tests)


def _deciding_tests(target: Target, killed_by: str) -> tuple[str, ...]:
    """Return the files of the test that noticed, or of all tests where none did."""
    return tuple(test.partition("::")[0] for test in ((killed_by,) if killed_by else target.tests))


class Journal:
    """A file with one JSON object a line, appended to by every process of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Result]:
        """Return the newest result of each mutant by its name; a line that was cut off is none."""
        if not self.path.exists():
            return {}
        return {result.name: result for line in self.path.read_text("utf-8").splitlines() for result in _read(line)}

    def append(self, result: Result) -> None:
        """Add a result, in one write."""
        with self.path.open("ab", buffering=0) as file:
            file.write(json.dumps(asdict(result), ensure_ascii=False).encode() + b"\n")


def _read(line: str) -> Iterable[Result]:
    try:
        values = json.loads(line)
        yield Result(**{**values, "verdict": Verdict(values["verdict"])})
    except (ValueError, TypeError, KeyError):
        return


@dataclass(frozen=True)
class Tally:
    """One target's figures. ``share`` is the percentage killed of the mutants that a test can tell from the code."""

    title: str
    mutants: int
    killed: int
    timed_out: int
    equivalent: int
    accepted: int
    unlisted: tuple[str, ...]

    @property
    def survivors(self) -> int:
        """Those that a test could tell from the code, and none did."""
        return self.mutants - self.equivalent - self.killed

    @property
    def share(self) -> float:
        """Killed of those that can be told from the code, in per cent."""
        return 100 * self.killed / max(1, self.mutants - self.equivalent)


def tally(
    target: Target,
    mutants: Sequence[Mutant],
    results: Mapping[str, Result],
    *,
    equivalent: Mapping[str, str],
    accepted: Mapping[str, str],
) -> Tally:
    """Count what became of one target's mutants: invalid ones not at all, one that is listed and not tried survived."""
    listed = {**equivalent, **accepted}
    verdicts = {mutant.name: Verdict.SURVIVED for mutant in mutants if mutant.name in listed}
    verdicts |= {mutant.name: results[mutant.name].verdict for mutant in mutants if mutant.name in results}
    valid = {name: verdict for name, verdict in verdicts.items() if verdict is not Verdict.INVALID}
    survived = [name for name, verdict in valid.items() if verdict is Verdict.SURVIVED]
    return Tally(
        title=target.title,
        mutants=len(valid),
        killed=len(valid) - len(survived),
        timed_out=sum(verdict is Verdict.TIMED_OUT for verdict in valid.values()),
        equivalent=sum(name in equivalent for name in survived),
        accepted=sum(name in accepted for name in survived),
        unlisted=tuple(name for name in survived if name not in equivalent and name not in accepted),
    )


def table_of(tallies: Sequence[Tally]) -> Table:
    """Return the summary, a row a target."""
    table = Table(title="Mutants")
    for column in ("target", "mutants", "killed", "of them by a time-out", "equivalent", "accepted", "unlisted", "%"):
        table.add_column(column, justify="left" if column == "target" else "right", no_wrap=column == "target")
    for one in tallies:
        figures = (one.mutants, one.killed, one.timed_out, one.equivalent, one.accepted, len(one.unlisted))
        table.add_row(one.title.removeprefix("migrations_sql/"), *map(str, figures), f"{one.share:.0f}")
    return table
