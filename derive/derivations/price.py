"""What deriving will cost, told from one's own history by interrogation, model and size of the evidence.

Cost is fitted as a straight line over the size of a job (characters of its input and evidence), which is what prompts
and, for most interrogations, answers grow with. The range is that of a prediction from such a fit: it holds what the
jobs scatter, what the fit does not know, and what a sample of sizes does not tell.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from statistics import fmean, pvariance
from uuid import UUID

from django.db.models.functions import Length

from derive.models import Job, Run, Worker
from derive.sql.clock import database_now
from derive.sql.depths import WORKER_ALIVE_SECONDS
from derive.sql.reading import reading
from derive.states import JobStatus, RunStatus
from derive.strict_types import parse_json

HISTORY_JOBS = 2_000
FEWEST_JOBS = 30
"""With fewer ended jobs no price is told."""
_READ_AT_ONCE = 500
_NINE_IN_TEN = 2.2
"""Standard errors to either side: 1.65 would do for a normal error, but costs have long tails."""
_LEAST_SHARE = 0.02
"""The narrowest range, as a share of what is expected: a server's speed differs by that much from hour to hour."""


@dataclass(frozen=True, slots=True)
class PriceRange:
    """What is expected, with the range that holds 9 times in 10."""

    expected: float
    low: float
    high: float

    def scaled(self, factor: float) -> "PriceRange":
        """Return the estimate in another unit."""
        return PriceRange(self.expected * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True, slots=True)
class PastJob:
    """What one ended job cost, all its runs together; ``model_ms`` is the model server's own time."""

    size: int
    tokens: int
    model_ms: float
    run_ms: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of the jobs to price: how many there are, and the sizes of some or all of them."""

    jobs: int
    known: Sequence[int]


@dataclass(frozen=True, slots=True)
class Price:
    """The price of some jobs; the members are None, and ``why`` says why, where it cannot be told."""

    jobs: int
    from_runs: int
    tokens: PriceRange | None = None
    model_seconds: PriceRange | None = None
    wall_seconds: PriceRange | None = None
    why: str | None = None


def price_of(sizes: Sizes, *, interrogation: str, model: str, rate_per_minute: int | None) -> Price:
    """Return what jobs of these sizes will cost, and how long the present workers take. Raises QueueError."""
    past, runs = read_history(interrogation, model)
    if not sizes.jobs:
        return Price(0, runs, PriceRange(0, 0, 0), PriceRange(0, 0, 0), PriceRange(0, 0, 0))
    if len(past) < FEWEST_JOBS or not sizes.known:
        why = f"too little history: {len(past)} ended jobs of {interrogation} with {model}; {FEWEST_JOBS} are needed"
        return Price(sizes.jobs, runs, why=why if sizes.known else "no evidence could be read to tell the size of")
    slots = _slots()
    wall = None
    if slots:
        wall = estimate([(one.size, one.run_ms) for one in past], sizes).scaled(1 / 1000 / slots)
        least = sizes.jobs * 60 / rate_per_minute if rate_per_minute else 0
        wall = PriceRange(max(wall.expected, least), max(wall.low, least), max(wall.high, least))
    return Price(
        sizes.jobs,
        runs,
        tokens=estimate([(one.size, one.tokens) for one in past], sizes),
        model_seconds=estimate([(one.size, one.model_ms) for one in past], sizes).scaled(1 / 1000),
        wall_seconds=wall,
        why=None if slots else "no worker is running, so there is no time to tell",
    )


def estimate(past: Sequence[tuple[float, float]], sizes: Sizes) -> PriceRange:
    """Return the total cost of jobs from the (size, cost) of past ones; at least three of these."""
    count = len(past)
    mean_size, mean_cost = fmean(size for size, _ in past), fmean(cost for _, cost in past)
    spread = sum((size - mean_size) ** 2 for size, _ in past)
    slope = sum((size - mean_size) * (cost - mean_cost) for size, cost in past) / spread if spread else 0.0
    wanted = fmean(sizes.known)
    expected = max(0.0, mean_cost + slope * (wanted - mean_size)) * sizes.jobs

    # Large jobs scatter more than small ones, so what the fit does not know is told from each job's own miss
    # (heteroscedasticity-consistent, HC3: MacKinnon and White 1985), and what the jobs will scatter as a share of cost.
    unknown = relative = 0.0
    for size, cost in past:
        told = mean_cost + slope * (size - mean_size)
        away = (size - mean_size) / spread if spread else 0.0
        pull = 1 / count + away * (size - mean_size)
        weight = 1 / count + away * (wanted - mean_size)
        unknown += (weight * (cost - told) / max(1 - pull, 0.05)) ** 2
        relative += ((cost - told) / max(told, mean_cost / 10, 1e-9)) ** 2 / (count - 2)
    told_squares = fmean((mean_cost + slope * (size - mean_size)) ** 2 for size in sizes.known)
    sampled = len(sizes.known)
    unseen = max(0.0, 1 - sampled / sizes.jobs)
    variance = (
        sizes.jobs * relative * told_squares
        + sizes.jobs**2 * unknown
        + sizes.jobs**2 * slope**2 * (pvariance(sizes.known) / sampled) * unseen
    )
    half = max((_NINE_IN_TEN + 1.6 / (count - 2)) * math.sqrt(variance), _LEAST_SHARE * expected)
    return PriceRange(expected, max(0.0, expected - half), expected + half)


def read_history(interrogation: str, model: str) -> tuple[list[PastJob], int]:
    """Return the newest ended jobs of an interrogation with a model, and how many runs they are told from."""
    ended = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.DEADLETTER)
    sizes: dict[UUID, int] = {}
    for status in ended:
        query = (
            Job.objects.filter(interrogation_key=interrogation, status=status)
            .order_by("-job_seq")
            .annotate(own=Length("input_json"), referred=Length("evidence_ref_json"))
            .values_list("job_id", "own", "referred")[:HISTORY_JOBS]
        )
        lengths: list[tuple[UUID, int, int | None]] = reading(partial(list, query))
        sizes |= {job_id: own + (referred or 0) for job_id, own, referred in lengths}
    name, _, tag = model.partition(":")
    costs: dict[UUID, list[float]] = {}
    runs = 0
    ids = list(sizes)
    for start in range(0, len(ids), _READ_AT_ONCE):
        rows = Run.objects.filter(job__in=ids[start : start + _READ_AT_ONCE], model_name=name).exclude(
            status=RunStatus.RUNNING
        )
        if tag:
            rows = rows.filter(model_tag=tag)
        columns = ("job_id", "prompt_tokens", "output_tokens", "metrics_json", "total_ms")
        found: list[tuple[UUID, int | None, int | None, str | None, int | None]] = reading(
            partial(list, rows.values_list(*columns))
        )
        for job_id, prompt, output, metrics, total_ms in found:
            cost = costs.setdefault(job_id, [0.0, 0.0, 0.0])
            cost[0] += (prompt or 0) + (output or 0)
            cost[1] += _model_ms(metrics)
            cost[2] += total_ms or 0
            runs += 1
    past = [
        PastJob(sizes[job_id], int(tokens), model_ms, run_ms) for job_id, (tokens, model_ms, run_ms) in costs.items()
    ]
    return past, runs


def _model_ms(metrics_json: str | None) -> float:
    try:
        return int(parse_json(metrics_json or "{}").get("total_duration") or 0) / 1_000_000
    except (ValueError, TypeError):
        return 0.0


def _slots() -> int:
    alive = Worker.objects.filter(
        last_seen_utc__gte=database_now() - timedelta(seconds=WORKER_ALIVE_SECONDS), stopping=False
    )
    slots: list[int | None] = reading(partial(list, alive.values_list("concurrency", flat=True)))
    return sum(one or 1 for one in slots)
