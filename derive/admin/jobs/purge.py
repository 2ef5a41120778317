"""Purge: permanently deletes old ended jobs, after a preview of how many.

The ages are in the URL, so that a preview can be repeated and shared. The purge itself is a POST with a reason, done in
steps by ``acting.js`` or in one request without it.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms import BoundField
from django.http import HttpRequest, HttpResponse
from typing_extensions import override

from derive.admin.display.untrusted_text import cell
from derive.admin.jobs.form_fields import ReasonField, WholeNumberField, problems_of
from derive.admin.jobs.long_action import LongAction, Step, StepRefused
from derive.admin.lists.keyset import Condition, Walk, equals, within
from derive.admin.lists.pages import show
from derive.admin.site import permissions
from derive.deadline import Deadline
from derive.errors import LakeUnavailable, QueueError
from derive.models import Job
from derive.retention import HistoryUnsettled, PurgeReport, purge
from derive.sql.clock import database_now
from derive.states import STATE_NAMES, JobStatus

logger = logging.getLogger(__name__)

STATES = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.DEADLETTER, JobStatus.CANCELLED)
MOST_DAYS = 36_500
NO_AGE = "Write a number of days for at least one state: 30 means jobs that ended more than 30 days ago."
_NOT_HELD = Condition("t.hold_utc IS NULL")


class AgesForm(forms.Form):
    """After how many days the jobs of each state are purged; a state left empty is kept."""

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, auto_id=False)
        for status in STATES:
            self.fields[status.value.lower()] = WholeNumberField(
                label=STATE_NAMES[status],
                required=False,
                most=MOST_DAYS,
                problem=f"{STATE_NAMES[status]}: write days as a whole number from 0 to {MOST_DAYS}.",
            )

    @override
    def clean(self) -> None:
        if not self.errors and not self.ages:
            raise ValidationError(NO_AGE)

    @property
    def days(self) -> list[BoundField]:
        """The fields of the states."""
        return [self[status.value.lower()] for status in STATES]

    @property
    def ages(self) -> dict[JobStatus, timedelta]:
        """The ages that could be parsed."""
        days = {status: self.cleaned_data.get(status.value.lower()) for status in STATES} if self.is_bound else {}
        return {status: timedelta(days=count) for status, count in days.items() if count is not None}


class PurgeForm(AgesForm):
    """The confirmation form of a purge."""

    reason = ReasonField()


@dataclass(frozen=True)
class OldJobs:
    """Jobs of one state that are old enough, counted up to a bound."""

    status: JobStatus
    days: int
    count: int
    is_exact: bool
    oldest: datetime | None


def look(request: HttpRequest) -> HttpResponse:
    """Ask for ages and count the jobs that are old enough."""
    permissions.demand(request, permissions.VIEW_JOBS, permissions.PURGE_JOBS)
    form = AgesForm(request.GET or None)
    return _page(request, form, problems=problems_of(form))


class PurgeAction(LongAction):
    """Purges one step, or as much as fits into a request for a browser without JavaScript."""

    needs = (permissions.VIEW_JOBS, permissions.PURGE_JOBS)
    form: PurgeForm

    @override
    def step(self, request: HttpRequest, *, seconds: float) -> Step:
        self.form = PurgeForm(request.POST)
        if problems := problems_of(self.form):
            raise StepRefused(*problems, "Nothing was purged.")
        reason = self.form.cleaned_data["reason"]
        return _purge(self.form.ages, permissions.actor_of(request), reason, seconds=seconds)

    @override
    def done(self, request: HttpRequest, step: Step) -> HttpResponse:
        left = ["The time limit was reached: purge again to continue."] if step.cursor else []
        problems = [step.error] if step.error else left
        return _page(request, self.form, problems=problems, purged=step.changed)

    @override
    def refused(self, request: HttpRequest, refusal: StepRefused) -> HttpResponse:
        return _page(request, self.form, problems=[*refusal.problems], status=refusal.status)


def _purge(ages: Mapping[JobStatus, timedelta], actor: str, reason: str, *, seconds: float) -> Step:
    """Purge until the time is up: the history is sealed first, which may take long, and files are deleted last."""
    report, fault = PurgeReport(dry_run=False), ""

    def watch(so_far: PurgeReport) -> None:
        nonlocal report
        report = so_far

    try:
        report = purge(ages=ages, actor=actor, reason=reason, deadline=Deadline(seconds), on_batch=watch)
        fault = f"Files still to be deleted: {report.last_error}" if report.last_error else ""
    except (QueueError, HistoryUnsettled, LakeUnavailable) as error:
        fault = str(error)
    logger.info("jobs.purged", extra={"actor": actor, "jobs": report.job_count})
    is_over = report.is_finished or bool(fault)
    return Step(changed=report.job_count, cursor=None if is_over else "more", error=cell(fault, 500) if fault else "")


def _find_old(ages: Mapping[JobStatus, timedelta]) -> list[OldJobs]:
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
        found.append(OldJobs(status=status, days=age.days, count=count, is_exact=is_exact, oldest=oldest))
    return found


def _page(
    request: HttpRequest, form: AgesForm, *, problems: list[str], purged: int | None = None, status: int = 200
) -> HttpResponse:
    old = _find_old(form.ages)
    context: dict[str, Any] = {
        "form": form,
        "reason": (form if isinstance(form, PurgeForm) else PurgeForm())["reason"],
        "old": old,
        "count": sum(one.count for one in old),
        "is_exact": all(one.is_exact for one in old),
        "problems": problems,
        "purged": purged,
    }
    return show(request, "admin/jobs/purge.html", title="Purge jobs", status=status, **context)
