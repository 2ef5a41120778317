"""Server time of the dashboard on eight days of a busy queue: cold, and refreshed with its numbers read anew."""

import time
from collections.abc import Iterator
from typing import Any

from django.contrib.auth.models import User
from django.test import Client, override_settings
from django.urls import reverse

from derive.admin.dashboard import page as dashboard_page
from derive.admin.dashboard.health_checks import HealthChecks
from derive.admin.dashboard.statistics import KEPT_SECONDS, SharedStatistics
from derive.queue import JobQueue
from tests.bench import history

COLD_MS = 250
REFRESHED_MS = 50
ROUNDS = 20


def measure() -> Iterator[dict[str, Any]]:
    """Yield the p95 of both, of a day and of a week. Health is looked at elsewhere, on a thread of its own."""
    history.fill()
    counted = JobQueue().roll_up_hours()
    assert counted is not None
    assert counted.is_caught_up
    viewer, _is_new = User.objects.get_or_create(username="bench", is_staff=True, is_superuser=True)
    client = Client()
    client.force_login(viewer, backend="django.contrib.auth.backends.ModelBackend")
    dashboard_page.HEALTH_CHECKS = HealthChecks(checks=())
    with override_settings(ALLOWED_HOSTS=["testserver"]):
        for span, days in dashboard_page.SPANS.items():
            yield from _measure(client, span, days)


def _measure(client: Client, span: str, days: int) -> Iterator[dict[str, Any]]:
    clock = _Clock()
    cold = [_milliseconds(client, span, days, clock) for _ in range(ROUNDS)]
    refreshed = []
    for _ in range(ROUNDS):
        clock.passed += KEPT_SECONDS + 1
        refreshed.append(_ask(client, span))
    yield _result(f"dashboard of {span}, cold", cold, COLD_MS)
    yield _result(f"dashboard of {span}, refreshed", refreshed, REFRESHED_MS)


class _Clock:
    """The numbers' clock, put forward between two refreshes, so that each is read anew."""

    def __init__(self) -> None:
        self.passed = 0.0

    def __call__(self) -> float:
        return self.passed


def _milliseconds(client: Client, span: str, days: int, clock: _Clock) -> float:
    dashboard_page.STATISTICS[span] = SharedStatistics(days, clock=clock)
    dashboard_page._rendered.clear()
    return _ask(client, span)


def _ask(client: Client, span: str) -> float:
    begun = time.perf_counter()
    answer = client.get(reverse("admin:derive_dashboard"), {"span": span})
    spent = (time.perf_counter() - begun) * 1000
    assert answer.status_code == 200
    return spent


def _result(name: str, spent: list[float], target_ms: int) -> dict[str, Any]:
    spent.sort()
    p95 = spent[int(0.95 * (len(spent) - 1))]
    return {
        "name": name,
        "median_ms": round(spent[len(spent) // 2]),
        "p95_ms": round(p95),
        "target": f"<= {target_ms} ms",
        "met": p95 <= target_ms,
    }
