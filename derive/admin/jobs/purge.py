"""Purge: ended jobs that are old enough go for good, after a look at how many they are.

The ages stand in the address, so that a look can be repeated and shared; the purge itself is a POST with a reason, done
in steps by ``acting.js`` or in one go without it.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from typing_extensions import override

from derive.admin.display.untrusted_text import cell
from derive.admin.jobs.long_action import MAX_REASON, LongAction, Step, StepRefused, read_reason
from derive.admin.lists.keyset import Condition, Walk, equals, within
from derive.admin.lists.pages import show
from derive.admin.site import permissions
from derive.errors import LakeUnavailable, QueueError
from derive.models import Job
from derive.retention import HistoryUnsettled, purge
from derive.sealing.document import SealDocument
from derive.sql.clock import database_now
from derive.states import JobStatus

logger = logging.getLogger(__name__)

STATES = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.DEADLETTER, JobStatus.CANCELLED)
MOST_DAYS = 36_500
STEP_JOBS = 500
NO_AGE = "Write a number of days for at least one state: 30 means jobs that ended more than 30 days ago."
_NOT_HELD = Condition("t.hold_utc IS NULL")


class _TimeIsUp(Exception):
    """Ends the sealing between two seals."""


@dataclass(frozen=True)
class Old:
    """Jobs of one state that are old enough, as far as they were counted."""

    status: JobStatus
    days: int
    count: int
    is_exact: bool
    oldest: datetime | None


def look(request: HttpRequest) -> HttpResponse:
    """Ask for ages, and say how many jobs are that old."""
    permissions.demand(request, permissions.VIEW_JOBS, permissions.PURGE_JOBS)
    ages, problems = _read_ages(request.GET)
    if request.GET and not ages and not problems:
        problems.append(NO_AGE)
    return _page(request, ages, problems=problems, typed=request.GET)


class PurgeAction(LongAction):
    """Purges a step of what was confirmed, or as much as a page may take for a browser without our script."""

    needs = (permissions.VIEW_JOBS, permissions.PURGE_JOBS)
    ages: Mapping[JobStatus, timedelta]

    @override
    def step(self, request: HttpRequest, *, seconds: float) -> Step:
        self.ages, problems = _read_ages(request.POST)
        reason = ""
        try:
            reason = read_reason(request.POST)
        except ValueError as error:
            problems.append(str(error))
        if problems or not self.ages:
            raise StepRefused(*(problems or [f"{NO_AGE} Nothing was purged."]))
        return _purge(self.ages, permissions.actor_of(request), reason, seconds=seconds)

    @override
    def done(self, request: HttpRequest, step: Step) -> HttpResponse:
        left = ["There was no time for all of it: purge again to go on."] if step.cursor else []
        problems = [step.error] if step.error else left
        return _page(request, self.ages, problems=problems, typed=request.POST, purged=step.changed)

    @override
    def refused(self, request: HttpRequest, refusal: StepRefused) -> HttpResponse:
        return _page(request, self.ages, problems=[*refusal.problems], typed=request.POST, status=refusal.status)


def _purge(ages: Mapping[JobStatus, timedelta], actor: str, reason: str, *, seconds: float) -> Step:
    """Purge for so long."""
    until, purged, is_over, fault = time.monotonic() + seconds, 0, False, ""

    def watch(_document: SealDocument) -> None:
        if time.monotonic() >= until:
            raise _TimeIsUp

    try:
        # Once at the least: each step comes further, if only with the history.
        while not is_over:
            report = purge(ages=ages, actor=actor, reason=reason, max_rows=STEP_JOBS, on_seal=watch)
            purged += report.job_count
            is_over = report.job_count < STEP_JOBS
            fault = f"Files that are still to go: {report.last_error}" if report.last_error else ""
            if time.monotonic() >= until:
                break
    except _TimeIsUp:
        # The history comes first, and may be long: the next step goes on with it.
        pass
    except (QueueError, HistoryUnsettled, LakeUnavailable) as error:
        fault = str(error)
    logger.info("jobs.purged", extra={"actor": actor, "jobs": purged})
    return Step(changed=purged, cursor=None if is_over or fault else "more", error=cell(fault, 500) if fault else "")


def _read_ages(form: QueryDict) -> tuple[dict[JobStatus, timedelta], list[str]]:
    ages, problems = {}, []
    for status in STATES:
        text = form.get(status.value.lower(), "").strip()
        if not text:
            continue
        if text.isascii() and text.isdigit() and len(text) <= len(str(MOST_DAYS)) and int(text) <= MOST_DAYS:
            ages[status] = timedelta(days=int(text))
        else:
            problems.append(f"{status.value}: write days as a whole number from 0 to {MOST_DAYS}.")
    return ages, problems


def _find_old(ages: Mapping[JobStatus, timedelta]) -> list[Old]:
    """Count the jobs that are old enough, each state up to a bound."""
    now, found = database_now(), []
    for status, age in ages.items():
        arm = (
            equals("status", status.value),
            Condition("finished_utc IS NOT NULL"),
            *within("finished_utc", until=now - age),
        )
        count, is_exact = Walk(Job, "job_seq", arms=(arm,), rest=(_NOT_HELD,), by_time="finished_utc").count()
        ended = Job.objects.filter(status=status.value, finished_utc__lt=now - age).order_by("finished_utc")
        oldest = ended.values_list("finished_utc", flat=True).first() if count else None
        found.append(Old(status=status, days=age.days, count=count, is_exact=is_exact, oldest=oldest))
    return found


def _page(
    request: HttpRequest,
    ages: Mapping[JobStatus, timedelta],
    *,
    problems: list[str],
    typed: QueryDict,
    purged: int | None = None,
    status: int = 200,
) -> HttpResponse:
    old = _find_old(ages)
    context: dict[str, Any] = {
        "fields": [(one, one.value.lower(), typed.get(one.value.lower(), "")[:10]) for one in STATES],
        "old": old,
        "count": sum(one.count for one in old),
        "is_exact": all(one.is_exact for one in old),
        "problems": problems,
        "purged": purged,
        "reason": typed.get("reason", "")[:MAX_REASON],
        "most_days": MOST_DAYS,
    }
    return show(request, "admin/jobs/purge.html", title="Purge jobs", status=status, **context)
