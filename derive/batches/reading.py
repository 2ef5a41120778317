"""What is said of a batch: its jobs by state, pace, when it will end and what it will cost.

Everything comes from the few rows that sweeps keep, so it costs the same for ten jobs as for a million.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import UUID

from django.db.models import Sum

from derive.models import Batch, BatchCount, BatchProgress
from derive.sql.reading import reading
from derive.states import ENDED, JobStatus

SAMPLES = 30
"""Samples of the pace that are looked at, the newest."""
FEWEST_PACES = 3
"""Below so many paces with ended jobs no range is given: there is too little history."""


class BatchState(StrEnum):
    """How far a batch has come, in one word."""

    FILLING = "filling"
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLED = "cancelled"
    """Takes no more jobs, and waits for those that still run."""
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Range:
    """An estimate with the range that the batch's own history gives; ``high`` None: no upper bound is known."""

    expected: float
    low: float
    high: float | None


@dataclass(frozen=True, slots=True)
class BatchFigures:
    """A batch's figures, as of ``counted_utc`` (None: not counted yet).

    ``seconds_left``, ``tokens`` and ``model_seconds`` (of the whole batch at its end) are None where there is too
    little history, and ``seconds_left`` also while it is paused.
    """

    batch: Batch
    state: BatchState
    jobs: dict[JobStatus, int]
    failures: list[tuple[str, int]]
    counted_utc: datetime | None
    seconds_left: Range | None
    tokens: Range | None
    model_seconds: Range | None
    samples: list[BatchProgress]

    @property
    def total(self) -> int:
        """All its jobs, purged ones too."""
        return sum(self.jobs.values())

    @property
    def ended(self) -> int:
        """Jobs that have ended."""
        return sum(jobs for status, jobs in self.jobs.items() if status in ENDED)

    @property
    def left(self) -> int:
        """Jobs that have not ended."""
        return self.total - self.ended

    @property
    def percent(self) -> int:
        """Share of the jobs that have ended, rounded down, so that 100 means all."""
        return 100 * self.ended // self.total if self.total else 100 if self.batch.finished_utc else 0


def state_of(batch: Batch) -> BatchState:
    """Return how far a batch has come."""
    if batch.finished_utc is not None:
        return BatchState.ENDED
    if batch.cancelled_utc is not None:
        return BatchState.CANCELLED
    if batch.paused_utc is not None:
        return BatchState.PAUSED
    return BatchState.FILLING if batch.filled_utc is None else BatchState.RUNNING


def read_figures(batch: Batch) -> BatchFigures:
    """Return a batch's figures. Raises QueueError."""
    counts: list[tuple[str, str, int]] = reading(
        partial(
            list,
            BatchCount.objects.filter(batch_id=batch.batch_id)
            .values_list("status", "error_kind")
            .annotate(amount=Sum("jobs")),
        )
    )
    jobs: Counter[JobStatus] = Counter()
    failures: Counter[str] = Counter()
    for status, error_kind, amount in counts:
        jobs[JobStatus(status)] += amount
        if status in {JobStatus.FAILED, JobStatus.DEADLETTER}:
            failures[error_kind] += amount
    newest = BatchProgress.objects.filter(batch_id=batch.batch_id).order_by("-progress_seq")[:SAMPLES]
    samples: list[BatchProgress] = list(reversed(reading(partial(list, newest))))
    left = sum(amount for status, amount in jobs.items() if status not in ENDED)
    ended = sum(jobs.values()) - left
    state = state_of(batch)
    return BatchFigures(
        batch=batch,
        state=state,
        jobs={status: jobs[status] for status in JobStatus if jobs[status] > 0},
        failures=[(kind, amount) for kind, amount in failures.most_common() if amount > 0],
        counted_utc=batch.counted_utc,
        seconds_left=estimate_seconds(samples, left) if state in {BatchState.RUNNING, BatchState.CANCELLED} else None,
        tokens=estimate_cost([(one.ended_jobs, one.spent_tokens) for one in samples], left, ended, batch.spent_tokens),
        model_seconds=_in_seconds(
            estimate_cost([(one.ended_jobs, one.spent_model_ms) for one in samples], left, ended, batch.spent_model_ms)
        ),
        samples=samples,
    )


def count_jobs(batch_ids: Sequence[UUID]) -> dict[UUID, Counter[str]]:
    """Return the jobs by state of several batches, as last counted, in one query. Raises QueueError."""
    query = (
        BatchCount.objects.filter(batch_id__in=batch_ids).values_list("batch_id", "status").annotate(amount=Sum("jobs"))
    )
    found: dict[UUID, Counter[str]] = {batch_id: Counter() for batch_id in batch_ids}
    rows: list[tuple[UUID, str, int]] = reading(partial(list, query))
    for batch_id, status, amount in rows:
        found[batch_id][status] += amount
    return found


def estimate_seconds(samples: Sequence[Any], left: int) -> Range | None:
    """Return how long the jobs that are left will take, at the paces between samples of ``at_utc, ended_jobs``."""
    if not left:
        return Range(0, 0, 0)
    spans = [
        (later.ended_jobs - earlier.ended_jobs, (later.at_utc - earlier.at_utc) / timedelta(seconds=1))
        for earlier, later in pairwise(samples)
    ]
    paces = sorted(jobs / seconds for jobs, seconds in spans if seconds > 0 and jobs >= 0)
    ended, seconds = sum(max(jobs, 0) for jobs, _ in spans), sum(max(seconds, 0) for _, seconds in spans)
    if sum(pace > 0 for pace in paces) < FEWEST_PACES or not ended:
        return None
    slow, fast = _share(paces, 0.1), _share(paces, 0.9)
    expected = left * seconds / ended
    return Range(
        expected, min(expected, left / fast) if fast else expected, max(expected, left / slow) if slow else None
    )


def estimate_cost(samples: Sequence[tuple[int, int]], left: int, ended: int, spent: int) -> Range | None:
    """Return what the whole batch will have cost at its end, from samples of (ended jobs, spent so far)."""
    if not left:
        return Range(spent, spent, spent)
    costs = sorted(
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for earlier, later in pairwise(samples)
        if later[0] > earlier[0]
    )
    if len(costs) < FEWEST_PACES or not ended or not spent:
        return None
    expected = spent + left * spent / ended
    low, high = spent + left * _share(costs, 0.1), spent + left * _share(costs, 0.9)
    return Range(expected, min(expected, low), max(expected, high))


def _share(ordered: Sequence[float], share: float) -> float:
    return ordered[round(share * (len(ordered) - 1))]


def _in_seconds(cost: Range | None) -> Range | None:
    if cost is None:
        return None
    return Range(cost.expected / 1000, cost.low / 1000, None if cost.high is None else cost.high / 1000)
