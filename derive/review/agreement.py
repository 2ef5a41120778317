"""How well reviews agree, and what they say about keys, rules, models, versions and confidences.

Counted over the newest reviews. A person's newest decision on a fact is their opinion; the newest opinion that decides
is the fact's. Facts that people added are left out: nothing was judged.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import combinations
from math import sqrt
from typing import Any
from uuid import UUID

from derive.models import FactReview, Run
from derive.states import ADDED_BY_PERSON, ReviewDecision

MAX_REVIEWS = 20_000
MAX_ROWS = 100
"""Rows of a table, those with the most decisions first."""
_Z = 1.959964
"""Of a 95 % interval."""
_COLUMNS = (
    *("review_seq", "fact_id", "run_id", "decision", "actor", "corrected_value", "corrected_value_key"),
    *("interrogation_key", "fact_key", "proof", "confidence"),
)
_BATCH_RUNS = 500
_DECIDES = frozenset({ReviewDecision.ACCEPTED.value, ReviewDecision.CORRECTED.value, ReviewDecision.REJECTED.value})
GROUPINGS = {
    "fact_key": "Key",
    "proof": "Rule",
    "model": "Model",
    "version": "Interrogation and version",
    "confidence": "Confidence",
}


@dataclass
class Acceptance:
    """How many facts of a group people accepted as they were. ``stated`` is the mean confidence, if there is one."""

    name: str
    accepted: int = 0
    corrected: int = 0
    rejected: int = 0
    confidences: list[float] = field(default_factory=list)

    @property
    def decided(self) -> int:
        """All decisions."""
        return self.accepted + self.corrected + self.rejected

    @property
    def rate(self) -> float:
        """The share that was accepted, in percent."""
        return 100 * self.accepted / self.decided

    @property
    def low(self) -> float:
        """The lower end of the rate's 95 % interval (Wilson), in percent."""
        return self._wilson(-1)

    @property
    def high(self) -> float:
        """The upper end of it."""
        return self._wilson(1)

    @property
    def stated(self) -> float | None:
        """The mean of the confidences that the model stated."""
        return sum(self.confidences) / len(self.confidences) if self.confidences else None

    @property
    def verdict(self) -> str:
        """Whether the model's confidence is right: the interval holds it, or lies below or above."""
        if self.stated is None:
            return ""
        if self.high < self.stated:
            return "Overconfident"
        return "Underconfident" if self.low > self.stated else "As stated"

    def _wilson(self, sign: int) -> float:
        count, share = self.decided, self.accepted / self.decided
        middle = share + _Z**2 / (2 * count)
        spread = _Z * sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
        return max(0.0, min(100.0, 100 * (middle + sign * spread) / (1 + _Z**2 / count)))


@dataclass
class ReviewerPair:
    """How often two people said the same about a fact."""

    one: str
    other: str
    same: int = 0
    count: int = 0

    @property
    def rate(self) -> float:
        """In percent."""
        return 100 * self.same / self.count


@dataclass(frozen=True)
class Agreement:
    """Decided ``facts``, ``pairs`` of reviewers, acceptance ``by`` each of ``GROUPINGS``; ``is_cut``: older exist."""

    facts: int
    reviews: int
    is_cut: bool
    overall: Acceptance | None
    pairs: tuple[ReviewerPair, ...]
    by: dict[str, tuple[Acceptance, ...]]

    @property
    def same(self) -> int:
        """Opinions of two that agree."""
        return sum(pair.same for pair in self.pairs)

    @property
    def compared(self) -> int:
        """Opinions of two on one fact."""
        return sum(pair.count for pair in self.pairs)


def agreement(*, because: str = "", interrogation: str = "") -> Agreement:
    """Count the newest reviews: all, or those with this reason to review (``sample``, …) and interrogation."""
    named = {"because": because, "interrogation_key": interrogation}
    wanted = FactReview.objects.exclude(proof=ADDED_BY_PERSON).filter(**{k: v for k, v in named.items() if v})
    rows = list(wanted.order_by("-review_seq").values(*_COLUMNS)[: MAX_REVIEWS + 1])
    is_cut = len(rows) > MAX_REVIEWS
    opinions = _opinions(reversed(rows[:MAX_REVIEWS]))
    decided = {fact_id: said for fact_id, said in opinions.items() if said}
    models = _models({next(iter(said.values()))["run_id"] for said in decided.values()})
    groups: dict[str, Callable[[dict[str, Any]], str]] = {
        "fact_key": lambda row: row["fact_key"] or "",
        "proof": lambda row: row["proof"],
        "model": lambda row: models.get(row["run_id"], ("", ""))[0],
        "version": lambda row: f"{row['interrogation_key']} {models.get(row['run_id'], ('', ''))[1]}".strip(),
        "confidence": lambda row: _bucket(row["confidence"]),
    }
    final = [max(said.values(), key=lambda row: row["review_seq"]) for said in decided.values()]
    by = {name: _accepted(final, of) for name, of in groups.items()}
    by["confidence"] = tuple(sorted(by["confidence"], key=lambda group: group.name, reverse=True))
    overall = _accepted(final, lambda _row: "All")
    return Agreement(
        facts=len(final),
        reviews=min(len(rows), MAX_REVIEWS),
        is_cut=is_cut,
        overall=overall[0] if overall else None,
        pairs=_pairs(decided.values()),
        by=by,
    )


def _opinions(rows: Iterable[dict[str, Any]]) -> dict[UUID, dict[str, dict[str, Any]]]:
    """Return each person's newest deciding opinion on each fact, from rows in their order."""
    found: dict[UUID, dict[str, dict[str, Any]]] = defaultdict(dict)
    for row in rows:
        if row["decision"] in _DECIDES:
            found[row["fact_id"]][row["actor"]] = row
        else:
            found[row["fact_id"]].pop(row["actor"], None)
    return found


def _models(run_ids: set[UUID]) -> dict[UUID, tuple[str, str]]:
    """Return model and version of each run."""
    found: dict[UUID, tuple[str, str]] = {}
    ids = sorted(run_ids)
    for start in range(0, len(ids), _BATCH_RUNS):
        rows = Run.objects.filter(run_id__in=ids[start : start + _BATCH_RUNS]).values_list(
            "run_id", "model_name", "model_tag", "interrogation_version"
        )
        for run_id, name, tag, version in rows:
            found[run_id] = (":".join(filter(None, (name, tag))), version or "")
    return found


def _bucket(confidence: Decimal | None) -> str:
    if confidence is None:
        return ""
    low = min(90, int(confidence) // 10 * 10)
    return f"{low:02}–{low + 9 if low < 90 else 100}"


def _accepted(rows: Iterable[dict[str, Any]], group_of: Callable[[dict[str, Any]], str]) -> tuple[Acceptance, ...]:
    groups: dict[str, Acceptance] = {}
    for row in rows:
        name = group_of(row)
        group = groups.setdefault(name, Acceptance(name))
        attribute = row["decision"].lower()
        setattr(group, attribute, getattr(group, attribute) + 1)
        if row["confidence"] is not None:
            group.confidences.append(float(row["confidence"]))
    return tuple(sorted(groups.values(), key=lambda group: (-group.decided, group.name))[:MAX_ROWS])


def _pairs(facts: Iterable[dict[str, dict[str, Any]]]) -> tuple[ReviewerPair, ...]:
    pairs: dict[tuple[str, str], ReviewerPair] = {}
    for said in facts:
        for one, other in combinations(sorted(said), 2):
            pair = pairs.setdefault((one, other), ReviewerPair(one, other))
            pair.count += 1
            pair.same += _voice(said[one]) == _voice(said[other])
    return tuple(sorted(pairs.values(), key=lambda pair: (-pair.count, pair.one, pair.other))[:MAX_ROWS])


def _voice(row: dict[str, Any]) -> tuple[str, str]:
    corrected = row["corrected_value_key"] or row["corrected_value"] or ""
    return row["decision"], corrected if row["decision"] == ReviewDecision.CORRECTED.value else ""
