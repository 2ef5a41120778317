"""Gates: conditions that a variant has to meet, such as ``f1>=live``.

``f1>=live`` fails if the variant is worse than the live version and chance does not explain it. ``f1>=live-0.02`` asks
for proof that it is at most so much worse, ``f1>live`` for proof that it is better. A number alone is compared with
the value as it is.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from derive.scoring.statistics import LEVEL, Interval, chance_of_drop, interval
from derive.scoring.tallies import METRICS, SMALLER_IS_BETTER, Tally, add

_GATE = re.compile(
    r"\s*(?P<metric>[a-z0-9]+)(?:\[(?P<key>[^\[\]]{1,200})\])?\s*(?P<sign>>=|<=|>|<)\s*"
    r"(?:(?P<live>live)\s*(?P<margin>[+-]\s*[0-9]+(?:\.[0-9]+)?)?|(?P<number>[0-9]+(?:\.[0-9]+)?))\s*"
)


class BadGate(ValueError):
    """The text is no gate; the message says why."""


@dataclass(frozen=True)
class Gate:
    """A condition on a metric, overall or of one key; with ``number`` None against the live version plus a margin."""

    text: str
    metric: str
    sign: str
    key: str | None = None
    number: float | None = None
    margin: float = 0.0

    @property
    def is_relative(self) -> bool:
        """Whether it compares with the live version."""
        return self.number is None


@dataclass(frozen=True)
class GateResult:
    """Whether a variant passed a gate, and why, in a sentence."""

    gate: str
    passed: bool
    why: str


def parse_gate(text: str) -> Gate:
    """Return the gate that a text like ``f1[height]>=live-0.02`` describes; raises BadGate."""
    found = _GATE.fullmatch(text)
    if found is None or found["metric"] not in METRICS:
        raise BadGate(
            f"{text[:80]!r} is not a gate: write {', '.join(METRICS)} or f1[KEY], then >=, >, <= or <, then a number, "
            "live, or live-0.02"
        )
    is_upward = found["sign"][0] == ">"
    if found["live"] and is_upward == (found["metric"] in SMALLER_IS_BETTER):
        better = "<=" if is_upward else ">="
        raise BadGate(f"{text[:80]!r}: of {found['metric']}, {'less' if is_upward else 'more'} is better: use {better}")
    return Gate(
        text="".join(text.split()) if found["key"] is None else text.strip(),
        metric=found["metric"],
        sign=found["sign"],
        key=found["key"],
        number=float(found["number"]) if found["number"] else None,
        margin=float((found["margin"] or "0").replace(" ", "")),
    )


def judge_gate(
    gate: Gate, ours: Sequence[Tally], live: Sequence[Tally], drawn: Sequence[tuple[Tally, Tally]]
) -> GateResult:
    """Return whether the cases' tallies pass; ``drawn`` are resamples of both, paired.

    For a gate on one key these are the tallies of that key.
    """
    if not ours:
        return GateResult(gate.text, passed=False, why="There are no answers.")
    metric = METRICS[gate.metric]
    value = metric(add(ours))
    if gate.number is not None:
        passed = _holds(value, gate.sign, gate.number)
        return GateResult(gate.text, passed, f"{gate.metric} is {value:.4g}.")
    sign = -1.0 if gate.metric in SMALLER_IS_BETTER else 1.0
    theirs = metric(add(live))
    gain = interval(value - theirs, [metric(one) - metric(other) for one, other in drawn])
    told = f"{gate.metric} is {value:.4g}, live {theirs:.4g} ({_said(gain)})"
    if not gate.margin and gate.sign in {">=", "<="}:
        chance = chance_of_drop(ours, live, lambda tally: sign * metric(tally))
        if chance <= LEVEL:
            return GateResult(gate.text, passed=False, why=f"{told}: worse, p = {chance:.4f}.")
        return GateResult(gate.text, passed=True, why=f"{told}: not shown to be worse, p = {chance:.2f}.")
    # Proof is asked for: the whole interval has to lie on the right side.
    worst = gain.low if sign > 0 else gain.high
    passed = _holds(worst, gate.sign, gate.margin)
    return GateResult(gate.text, passed, f"{told}: {'shown' if passed else 'not shown'}.")


def _said(gain: Interval) -> str:
    return f"{gain.value:+.4g}, 95 % interval {gain.low:+.4g} to {gain.high:+.4g}"


def _holds(value: float, sign: str, bound: float) -> bool:
    # What rounding in the last place leaves is no difference.
    close = 1e-12
    match sign:
        case ">=":
            return value >= bound - close
        case ">":
            return value > bound + close
        case "<=":
            return value <= bound + close
        case _:
            return value < bound - close
