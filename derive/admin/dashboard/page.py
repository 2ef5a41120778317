"""The start page: the queue, the last hours, the workers and the health checks.

The page is rendered with its first numbers; ``dashboard.js`` then polls ``parts`` for the same HTML and replaces what
changed. All viewers share one reading of the numbers, and every query is bounded (``derive.sql.queue_status``,
``derive.sql.statistics``).
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from derive.admin.dashboard.charts import Charts
from derive.admin.dashboard.health_checks import HealthChecks
from derive.admin.dashboard.statistics import DashboardSnapshot, SharedStatistics
from derive.admin.display.charts import path_of
from derive.admin.lists.pages import show
from derive.admin.records.workers import state_of
from derive.admin.site import permissions
from derive.health import ReadinessCheck
from derive.sql.queue_status import COUNT_CAP
from derive.sql.statistics import FailureGroup, HourOfModel
from derive.states import JobStatus

SPANS = {"24h": 1, "7d": 7}
REFRESH_SECONDS = 5
STATISTICS_LATE = timedelta(minutes=3)
"""Workers and schedules update the counts at least every minute; a worker alone four times a minute."""
MAX_WORKERS_SHOWN = 12
MAX_JOBS_SHOWN = 6
MAX_RENDERED = 16
WORKER_STATES = ("alive", "stopping", "stale", "gone")
"""Those that are counted; workers that stopped are none of the present."""

STATISTICS = {span: SharedStatistics(days) for span, days in SPANS.items()}
HEALTH_CHECKS = HealthChecks()
_rendered: dict[tuple[object, ...], str] = {}

# The states with a tile, and what its sparkline counts: jobs that entered the state.
_INTO: dict[JobStatus, tuple[str, Callable[[HourOfModel], int]]] = {
    JobStatus.NEW: ("queued", lambda hour: hour.enqueued),
    JobStatus.SCHEDULED: ("retried", lambda hour: hour.retried),
    JobStatus.RUNNING: ("claimed", lambda hour: hour.claimed),
    JobStatus.SUCCEEDED: ("succeeded", lambda hour: hour.succeeded),
    JobStatus.FAILED: ("failed", lambda hour: hour.failed),
    JobStatus.DEADLETTER: ("gave up", lambda hour: hour.dead_lettered),
    JobStatus.CANCELLED: ("cancelled", lambda hour: hour.cancelled),
}


@dataclass(frozen=True, slots=True)
class Tile:
    """A state: its jobs, how many entered it in a day compared with the day before, and a sparkline of its hours.

    ``verb`` is empty if nobody counts how many entered it.
    """

    status: JobStatus
    address: str
    jobs: int
    is_capped: bool
    verb: str
    in_a_day: int
    change_percent: int | None
    path: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """The ready jobs, the longest wait, and the time to clear them (``drain_seconds``; None while nothing is done)."""

    jobs: int
    is_capped: bool
    about: int | None
    oldest: Any
    per_minute: float
    drain_seconds: float | None


def page(request: HttpRequest) -> HttpResponse:
    """Show the dashboard, or an explanation to users who may not see jobs."""
    may_see = permissions.may(request, permissions.VIEW_JOBS)
    span = _span_of(request)
    return show(
        request,
        "admin/dashboard/page.html",
        title="Overview",
        spans=tuple(SPANS),
        span=span,
        refresh_seconds=REFRESH_SECONDS,
        parts=_parts(request, span) if may_see else None,
    )


@require_safe
def parts(request: HttpRequest) -> HttpResponse:
    """Return the dashboard's parts; 304 if the browser already has them."""
    permissions.demand(request, permissions.VIEW_JOBS)
    html = _parts(request, _span_of(request))
    tag = f'"{hashlib.sha256(html.encode()).hexdigest()[:32]}"'
    known = request.headers.get("If-None-Match", "").removeprefix("W/")
    answer = HttpResponse(status=304) if known == tag else HttpResponse(html)
    answer["ETag"] = tag
    return answer


def _span_of(request: HttpRequest) -> str:
    asked = request.GET.get("span", "")
    return asked if asked in SPANS else next(iter(SPANS))


def _parts(request: HttpRequest, span: str) -> str:
    snapshot = STATISTICS[span].snapshot()
    # The numbers look the same to all users with the same permissions and time zone.
    rights = {
        "may_see_workers": permissions.may(request, permissions.VIEW_WORKERS),
        "may_see_alerts": permissions.may(request, permissions.VIEW_ALERTS),
        "may_see_derivations": permissions.may(request, permissions.VIEW_DERIVATIONS),
    }
    key = (
        snapshot.read_at,
        span,
        *rights.values(),
        timezone.get_current_timezone_name(),
        HEALTH_CHECKS.parts(),
    )
    html = _rendered.get(key)
    if html is None:
        while len(_rendered) >= MAX_RENDERED:
            _rendered.pop(next(iter(_rendered)), None)
        html = _rendered[key] = _render(snapshot, span, **rights)
    return html


def _render(
    snapshot: DashboardSnapshot, span: str, *, may_see_workers: bool, may_see_alerts: bool, may_see_derivations: bool
) -> str:
    charts = Charts(snapshot)
    return render_to_string(
        "admin/dashboard/parts.html",
        {
            "span": span,
            "span_in_words": "24 hours" if span == "24h" else "7 days",
            "jobs": reverse("admin:derive_job_changelist"),
            "tiles": _tiles(snapshot),
            "cap": COUNT_CAP,
            "backlog": _backlog(snapshot),
            "notices": snapshot.notices,
            "alerts": snapshot.alerts if may_see_alerts else (),
            "outcomes": charts.outcomes(),
            "times": [("Wait", charts.times("wait"), "until claimed"), ("Run", charts.times("run"), "until ended")],
            "speeds": charts.speeds(),
            "failures": [(group, *_failure_links(group, span)) for group in snapshot.failures if any(_amounts(group))],
            "workers": _workers(snapshot) if may_see_workers else None,
            "kept_current": snapshot.kept_current if may_see_derivations else None,
            "health": [*HEALTH_CHECKS.parts(), _statistics_health(snapshot)],
            "is_looking": not HEALTH_CHECKS.parts(),
            "is_untouched": not snapshot.hours and not any(snapshot.queue.jobs.values()),
        },
    )


def _tiles(snapshot: DashboardSnapshot) -> list[Tile]:
    hour = snapshot.read_at.replace(minute=0, second=0, microsecond=0)
    hours = [hour - timedelta(hours=place) for place in range(47, -1, -1)]
    of_hours: dict[datetime, list[HourOfModel]] = {at: [] for at in hours}
    for one in snapshot.hours:
        if one.hour_utc in of_hours:
            of_hours[one.hour_utc].append(one)
    tiles = [_tile(snapshot, status, list(of_hours.values())) for status in _INTO]
    if snapshot.queue.jobs[JobStatus.SPLIT]:
        # Only long evidence is split, so most queues never have such jobs.
        tiles.insert(list(_INTO).index(JobStatus.SUCCEEDED), _tile(snapshot, JobStatus.SPLIT, list(of_hours.values())))
    return tiles


def _tile(snapshot: DashboardSnapshot, status: JobStatus, hours: Sequence[Sequence[HourOfModel]]) -> Tile:
    verb, into = _INTO.get(status, ("", lambda _hour: 0))
    amounts = [sum(map(into, of_models)) for of_models in hours]
    before, lately = amounts[:24], amounts[24:]
    top = max(lately) or 1
    jobs = snapshot.queue.jobs[status]
    return Tile(
        status=status,
        address=f"{reverse('admin:derive_job_changelist')}?{urlencode({'status': status.value})}",
        jobs=min(jobs, COUNT_CAP),
        is_capped=jobs > COUNT_CAP,
        verb=verb,
        in_a_day=sum(lately),
        change_percent=round(100 * (sum(lately) - sum(before)) / sum(before)) if sum(before) else None,
        path=path_of([100 * amount / top for amount in lately]) if any(lately) else "",
    )


def _backlog(snapshot: DashboardSnapshot) -> Backlog:
    ready = snapshot.queue.jobs[JobStatus.NEW]
    rate = snapshot.queue.ended_per_second
    jobs = snapshot.ready_about or ready
    return Backlog(
        jobs=min(ready, COUNT_CAP),
        is_capped=ready > COUNT_CAP,
        about=snapshot.ready_about,
        oldest=snapshot.oldest,
        per_minute=60 * rate,
        drain_seconds=jobs / rate if rate else None,
    )


def _amounts(group: FailureGroup) -> tuple[int, int, int]:
    return group.failed, group.dead_lettered, group.retried


def _failure_links(group: FailureGroup, span: str) -> tuple[str, str, str]:
    """Return the lists of the failed runs (a job that later succeeded shows no error) and of the jobs."""
    jobs, runs = reverse("admin:derive_job_changelist"), reverse("admin:derive_run_changelist")
    common = {"interrogation": group.interrogation_key, "error_kind": group.error_kind}
    ended = {"ended": span}
    return (
        f"{runs}?{urlencode({**common, 'since': span})}",
        f"{jobs}?{urlencode({'status': JobStatus.FAILED.value, **common, **ended})}",
        f"{jobs}?{urlencode({'status': JobStatus.DEADLETTER.value, **common, **ended})}",
    )


def _workers(snapshot: DashboardSnapshot) -> dict[str, Any]:
    held: dict[str, list[Any]] = defaultdict(list)
    for job in snapshot.running:
        held[job.locked_by].append(job)
    counts: dict[str, int] = defaultdict(int)
    shown = []
    for worker in snapshot.workers:
        state = state_of(worker)
        counts[state] += 1
        if state not in {"gone", "stopped"}:
            jobs = held[worker.worker_id]
            shown.append((worker, state, jobs[:MAX_JOBS_SHOWN], max(0, len(jobs) - MAX_JOBS_SHOWN)))
    return {
        "counts": [(state, counts[state]) for state in WORKER_STATES if counts[state]],
        "shown": shown[:MAX_WORKERS_SHOWN],
        "more": max(0, len(shown) - MAX_WORKERS_SHOWN),
        "address": reverse("admin:derive_worker_changelist"),
    }


def _statistics_health(snapshot: DashboardSnapshot) -> ReadinessCheck:
    """Check that the statistics are up to date."""
    through = snapshot.queue.counted_through_utc
    if through is None:
        return ReadinessCheck("statistics", ok=False, reason="no statistics yet: start a worker or manage.py qcluster")
    if snapshot.read_at - through > STATISTICS_LATE:
        return ReadinessCheck(
            "statistics",
            ok=False,
            reason="statistics are behind: no worker or scheduler is counting, or a transaction is still open",
        )
    return ReadinessCheck("statistics", ok=True)
