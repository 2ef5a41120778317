"""Pairs of values and quotes whose verdict is known, and the count of what the rules make of them.

A line of a file is one quote with its right values (the quote supports them), wrong ones (it refutes them) and open
ones (it does not decide).
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from derive.proofs import Context, Verdict, judge

FOLDER = Path(__file__).parent
EXPECTED = {"right": Verdict.SUPPORTED, "wrong": Verdict.REFUTED, "open": Verdict.NOT_ENOUGH_INFO}


class Pair(NamedTuple):
    """One value with its quote, and whether it is right, wrong or open."""

    rule: str
    kind: str
    value: Any
    quote: str
    context: Context


def read_pairs(name: str) -> list[Pair]:
    """Return the pairs of a file in this folder."""
    return list(_pairs(FOLDER / name))


def _pairs(file: Path) -> Iterator[Pair]:
    for line in file.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        context = Context(
            key=entry.get("key", ""),
            unit=entry.get("unit", ""),
            entity=entry.get("entity", ""),
            choices={choice: tuple(words) for choice, words in entry.get("choices", {}).items()},
            proof=entry.get("proof", ""),
        )
        for kind in EXPECTED:
            for value in entry.get(kind, ()):
                yield Pair(entry["rule"], kind, value, entry["quote"], context)


class Score(NamedTuple):
    """How a set of pairs was judged: counts by rule, kind and verdict, and each pair judged otherwise than expected."""

    counts: Counter[tuple[str, str, Verdict]]
    surprises: list[str]

    def count(self, kind: str = "", verdict: Verdict | None = None, rule: str = "") -> int:
        """Return how many pairs have this kind, verdict and rule; what is not given is not asked for."""
        return sum(
            number
            for (one_rule, one_kind, one_verdict), number in self.counts.items()
            if rule in {"", one_rule} and kind in {"", one_kind} and verdict in {None, one_verdict}
        )

    def table(self) -> str:
        """Return the table of rules."""
        lines = [
            f"{'rule':12}{'right':>7}{'supp.':>7}{'REFUTED':>9}{'open':>6}{'wrong':>8}{'ref.':>6}{'SUPPORTED':>11}{'open':>6}"
        ]
        for rule in [*sorted({rule for rule, _, _ in self.counts}), ""]:
            figures = [self.count("right", None, rule), *(self.count("right", one, rule) for one in Verdict)]
            figures += [self.count("wrong", None, rule), *(self.count("wrong", one, rule) for one in _WRONG_ORDER)]
            widths = (7, 7, 9, 6, 8, 6, 11, 6)
            cells = "".join(f"{figure:>{width}}" for figure, width in zip(figures, widths, strict=True))
            lines.append(f"{rule or 'all':12}{cells}")
        return "\n".join(lines)


_WRONG_ORDER = (Verdict.REFUTED, Verdict.SUPPORTED, Verdict.NOT_ENOUGH_INFO)


def score(pairs: list[Pair]) -> Score:
    """Judge the pairs."""
    counts: Counter[tuple[str, str, Verdict]] = Counter()
    surprises = []
    for rule, kind, value, quote, context in pairs:
        judgement = judge(value, quote, context)
        counts[rule, kind, judgement.verdict] += 1
        if judgement.verdict is not EXPECTED[kind]:
            surprises.append(f"{kind} {value!r} ({context.key}) of {quote!r}: {judgement.verdict}: {judgement.why}")
    return Score(counts, surprises)
