"""Converts a snapshot to Prometheus metrics: names, labels and help texts."""

from collections import Counter, defaultdict
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from derive.metrics.snapshot import Snapshot
from derive.sql.depths import ENDED_CAP, LIVE_CAP, cap_of
from derive.sql.model_backlogs import COUNT_CAP
from derive.sql.totals import BOUNDS_MS, MEASURES
from derive.states import JobStatus

_SAYS = {
    "wait": "Time from a job becoming ready to its claim.",
    "run": "Time from a run's claim to its end, whatever the result.",
    "model": "The model's own time for an answer, as reported by its server (total_duration); otherwise not counted.",
}


def moment(snapshot: Snapshot, *, age_seconds: float) -> Iterator[Metric]:
    """Yield gauges of the snapshot's time."""
    scheduler, workers = snapshot.scheduler, snapshot.workers
    measured: list[tuple[str, str, float | None]] = [
        ("holocron_snapshot_age_seconds", "Age of the numbers read from the database.", age_seconds),
        (
            "holocron_counted_seconds_ago",
            "Counters and histograms cover everything up to this long ago.",
            snapshot.counted_seconds_ago,
        ),
        ("holocron_workers_alive", "Workers whose heartbeat is recent.", workers.alive),
        ("holocron_workers_stopping", "Workers that are stopping, by a recent heartbeat.", workers.stopping),
        ("holocron_workers_slots", "Slots of the workers alive.", workers.slots),
        ("holocron_workers_active_runs", "Runs of the workers alive.", workers.active_runs),
        (
            "holocron_scheduler_heartbeat_seconds_ago",
            "Seconds since the last heartbeat of a scheduler (manage.py qcluster); missing if there never was one.",
            scheduler.heartbeat_age_seconds,
        ),
        (
            "holocron_scheduler_lag_seconds",
            "How overdue the most overdue schedule is, in seconds.",
            scheduler.lag_seconds,
        ),
        ("holocron_scheduler_failing_tasks", "Tasks whose last run failed.", len(scheduler.failing)),
    ]
    for name, says, value in measured:
        if value is not None:
            yield GaugeMetricFamily(name, says, value=value)


def depths(snapshot: Snapshot) -> Iterator[Metric]:
    """Yield the number of jobs by state, and the age of the oldest."""
    labels = ["status", "interrogation"]
    jobs = GaugeMetricFamily(
        "holocron_jobs",
        f"Jobs by state; of one state the {LIVE_CAP} earliest queued are counted, {ENDED_CAP} where jobs have ended.",
        labels=labels,
    )
    oldest = GaugeMetricFamily(
        "holocron_oldest_job_seconds", "Seconds since the oldest counted job was queued.", labels=labels
    )
    for depth in snapshot.depths:
        jobs.add_metric([depth.status.value, depth.interrogation_key], depth.jobs)
        oldest.add_metric([depth.status.value, depth.interrogation_key], depth.oldest_seconds)
    capped = GaugeMetricFamily(
        "holocron_jobs_capped", "1 if a state may have more jobs than are counted.", labels=["status"]
    )
    for status in JobStatus:
        counted = sum(depth.jobs for depth in snapshot.depths if depth.status is status)
        capped.add_metric([status.value], float(counted >= cap_of(status)))
    yield from (jobs, oldest, capped)


def totals(snapshot: Snapshot) -> Iterator[Metric]:
    """Yield totals since the queue began."""
    events = CounterMetricFamily(
        "holocron_events",
        "What happened to jobs: claimed, succeeded, failed, retried, lease_expired (reaped), …; error_kind is empty "
        "where there is none.",
        labels=["interrogation", "event", "error_kind"],
    )
    for (key, kind, event), count in sorted(snapshot.totals.events.items()):
        events.add_metric([key, event, kind], count)
    tokens = CounterMetricFamily(
        "holocron_tokens",
        "Tokens of prompts and answers (type: prompt, output).",
        labels=["interrogation", "model", "type"],
    )
    for (key, model, name), count in sorted(snapshot.totals.tokens.items()):
        tokens.add_metric([key, model, name.removesuffix("_tokens")], count)
    yield from (events, tokens)


def times(snapshot: Snapshot) -> Iterator[Metric]:
    """Yield histograms of waiting, run and model time; sums are not stored, so there is no ``_sum``."""
    for measure in MEASURES:
        family = HistogramMetricFamily(f"holocron_{measure}_seconds", _SAYS[measure], labels=["interrogation"])
        amounts: dict[str, dict[int, int]] = defaultdict(dict)
        for (one, key, bound), amount in snapshot.totals.times.items():
            if one == measure:
                amounts[key][bound] = amount
        for key, by_bound in sorted(amounts.items()):
            _add(family, key, by_bound)
        yield family


def models(snapshot: Snapshot) -> Iterator[Metric]:
    """Yield the status of each model and the workers per endpoint; the model is "" if none is requested."""
    waits = HistogramMetricFamily(
        "holocron_model_wait_seconds", "Time from a job becoming ready to its claim, by its model.", labels=["model"]
    )
    amounts: dict[str, dict[int, int]] = defaultdict(dict)
    for (model, bound), amount in snapshot.totals.waits.items():
        amounts[model][bound] = amount
    for model, by_bound in sorted(amounts.items()):
        _add(waits, model, by_bound, label="model")
    jobs = GaugeMetricFamily(
        "holocron_model_ready_jobs",
        f"Ready jobs by the model they ask for, counted up to {COUNT_CAP} per model.",
        labels=["model"],
    )
    load = GaugeMetricFamily(
        "holocron_model_load_seconds", "How long a model takes to load: the median of its last loads.", labels=["model"]
    )
    paused = GaugeMetricFamily("holocron_model_paused", "1 while the model is paused.", labels=["model"])
    for one in snapshot.models.models:
        name = one.model or ""
        jobs.add_metric([name], min(one.ready, COUNT_CAP))
        if one.model is not None:
            paused.add_metric([name], float(one.is_paused))
        if one.settings is not None and one.settings.load_ms is not None:
            load.add_metric([name], one.settings.load_ms / 1000)
    up = GaugeMetricFamily("holocron_endpoint_up", "Workers that reach the endpoint now.", labels=["endpoint"])
    reached = Counter({endpoint.row.name: 0 for endpoint in snapshot.models.endpoints})
    reached.update(endpoint.row.name for endpoint in snapshot.models.endpoints if endpoint.is_up)
    for name, workers in sorted(reached.items()):
        up.add_metric([name], workers)
    yield from (waits, jobs, load, paused, up)


def _add(family: HistogramMetricFamily, key: str, by_bound: dict[int, int], *, label: str = "interrogation") -> None:
    below = 0
    buckets: list[tuple[str, float]] = []
    for bound in BOUNDS_MS:
        below += by_bound.get(bound, 0)
        buckets.append((str(bound / 1000), below))
    count = sum(by_bound.values())
    family.add_metric([key], [*buckets, ("+Inf", count)], sum_value=None)
    family.add_sample(f"{family.name}_count", {label: key}, count)
