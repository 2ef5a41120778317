"""Bulk actions on jobs: a confirmation page with the number of jobs and a reason, then steps, then a report.

``derive_job_act`` is the confirmation. ``derive_job_act_run`` does a step of some batches and returns where the next
one starts: the page's script calls it until it is done and shows the progress; without the script the server does it
all. No state is kept between steps beyond the form's fields, and each step checks everything again.
"""

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from django.contrib import messages
from django.core.signing import BadSignature, Signer
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect, QueryDict
from django.urls import reverse
from typing_extensions import override

from derive.admin.display.template_tags import short
from derive.admin.display.untrusted_text import cell
from derive.admin.jobs.bulk.actions import ACTIONS, Action, Confirmed, ConfirmForm
from derive.admin.jobs.bulk.undo import EventSpan, put_back
from derive.admin.jobs.filters import STATES, JobFilter
from derive.admin.jobs.form_fields import problems_of
from derive.admin.jobs.long_action import LongAction, Step, StepRefused
from derive.admin.lists.pages import show
from derive.admin.lists.query_params import as_guid
from derive.admin.site import permissions
from derive.admin.site.timezones import as_typed, zone_of
from derive.contracts import JobChange, JobRef
from derive.errors import QueueError
from derive.models import Job, JobEvent
from derive.queue import CHANGE_BATCH, JobQueue
from derive.states import JobStatus

logger = logging.getLogger(__name__)

MAX_SELECTED = 500
MAX_EXAMPLES = 20


_REPORT = "admin/jobs/report.html"


class InvalidRequest(StepRefused):
    """The form is invalid; the message says why."""


class NothingSelected(InvalidRequest):
    """No job is selected."""


@dataclass(frozen=True)
class BulkRequest:
    """An action and the jobs to act on, from a form."""

    action: Action
    selected: tuple[JobRef, ...]
    filter: str | None
    """The query string of the list filter whose matches are acted on; None for selected jobs."""
    cursor: str
    """Where the next step starts; on the first step, the newest job when the confirmation was shown."""
    listed: str | None
    """The query string of the list the request came from; None if it came from a job's page."""
    form_id: UUID
    """The same in all steps, and if the form is sent twice."""

    @classmethod
    def read(cls, form: QueryDict) -> "BulkRequest":
        """Parse a form; raise InvalidRequest."""
        action = ACTIONS.get(form.get("action", ""))
        if action is None:
            raise InvalidRequest("There is no such action.")
        form_id = as_guid(form.get("form_id", "")) or uuid4()
        listed = _listed(form)
        if form.get("scope") == "matching":
            text = listed or ""
            if JobFilter(QueryDict(text)).problems:
                raise InvalidRequest("The filter is invalid.")
            return cls(action, (), text, form.get("cursor", "")[:60], listed, form_id)
        refs = [_read_ref(one) for one in form.getlist("job")[: MAX_SELECTED + 1]]
        if not refs:
            raise NothingSelected("Select the jobs to act on, or choose all that match the filter.")
        if len(refs) > MAX_SELECTED:
            raise InvalidRequest(f"Select at most {MAX_SELECTED} jobs, or act on all that match the filter.")
        return cls(action, tuple(refs), None, "", listed, form_id)

    @property
    def back(self) -> str:
        """The URL of the page the request came from: the list with its filter, or the job."""
        if self.listed is None and len(self.selected) == 1:
            return reverse("admin:derive_job_change", args=(self.selected[0].job_id,))
        return _list_address(self.listed or "")

    def count(self) -> tuple[int, bool]:
        """Return the number of jobs, and whether it is exact."""
        if self.filter is None:
            return len(self.selected), True
        return JobFilter(QueryDict(self.filter)).walk().count()

    def batches(self) -> Iterator[tuple[list[JobRef], str | None]]:
        """Yield batches of jobs with their current states, and where the next batch starts (None after the last)."""
        if self.filter is None:
            yield list(self.selected), None
            return
        walk = JobFilter(QueryDict(self.filter)).walk()
        for page in walk.batches(rows=CHANGE_BATCH, start=self.cursor or None):
            rows = Job.objects.filter(job_seq__in=page.sequences).order_by("-job_seq").values_list("job_id", "status")
            yield (
                [JobRef.model_construct(job_id=one, expected_status=JobStatus(status)) for one, status in rows],
                page.older,
            )


@dataclass
class BulkReport:
    """The results so far."""

    changed: int = 0
    refused: dict[str, list[UUID]] = field(default_factory=dict)
    cursor: str | None = None

    def add(self, changes: list[JobChange]) -> None:
        """Add a batch's results."""
        for change in changes:
            if change.changed:
                self.changed += 1
            else:
                self.refused.setdefault(change.why or "refused", []).append(change.job_id)

    def as_step(self, *, error: str = "", undo: str = "") -> Step:
        """Return the results as a step."""
        refused = tuple(self._refusals_by_reason())
        return Step(changed=self.changed, cursor=self.cursor, error=error, refused=refused, undo=undo)

    def _refusals_by_reason(self) -> list[dict[str, Any]]:
        """Return refusals by reason, most frequent first, with examples and the last event of each."""
        named = sorted(self.refused.items(), key=lambda item: -len(item[1]))
        examples = [job_id for _why, ids in named for job_id in ids[:3]][:MAX_EXAMPLES]
        last = _last_events(examples)
        return [
            {
                "why": cell(why, 300),
                "count": len(ids),
                "jobs": [
                    {"id": str(job_id), "short": short(job_id), "last": last.get(job_id, "")}
                    for job_id in ids[:3]
                    if job_id in examples
                ],
            }
            for why, ids in named
        ]


def ask(request: HttpRequest) -> HttpResponse:
    """Ask for confirmation and a reason, showing how many jobs are affected and how."""
    permissions.demand(request, permissions.VIEW_JOBS, permissions.ACT_ON_JOBS)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        order = BulkRequest.read(request.POST)
    except NothingSelected as error:
        messages.warning(request, str(error))
        return HttpResponseRedirect(_list_address(_listed(request.POST) or ""))
    except InvalidRequest as error:
        return _invalid_request(request, error)
    return _question(request, order, ConfirmForm(order.action))


class BulkAction(LongAction):
    """Does one step of a confirmed action, or all of it for a browser without JavaScript."""

    order: BulkRequest
    form: ConfirmForm

    @override
    def step(self, request: HttpRequest, *, seconds: float) -> Step:
        self.order = BulkRequest.read(request.POST)
        self.form = ConfirmForm(self.order.action, request.POST)
        with as_typed(request.POST):
            if problems := problems_of(self.form):
                raise StepRefused(*problems)
        confirmed = self.form.cleaned_data
        by = Confirmed(
            actor=permissions.actor_of(request),
            reason=confirmed["reason"],
            value=confirmed.get("value"),
            form_id=self.order.form_id,
        )
        return _act(self.order, by, seconds=seconds)

    @override
    def done(self, request: HttpRequest, step: Step) -> HttpResponse:
        shown: dict[str, Any] = {"order": self.order, "form": self.form, "zone": zone_of(request.POST)}
        shown["back"] = self.order.back
        return show(request, _REPORT, title=self.order.action.title, step=step, **shown)

    @override
    def refused(self, request: HttpRequest, refusal: StepRefused) -> HttpResponse:
        if isinstance(refusal, InvalidRequest):
            return _invalid_request(request, refusal)
        return _question(request, self.order, self.form, str(refusal))


def undo(request: HttpRequest) -> HttpResponse:
    """Undo an action of this user, except where values have changed since."""
    permissions.demand(request, permissions.VIEW_JOBS, permissions.ACT_ON_JOBS)
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        # Each step of an action returned its own token.
        spans = [EventSpan.read(Signer(salt="undo").unsign(one)) for one in request.POST.getlist("undo")[:1_000]]
    except (BadSignature, ValueError):
        return _invalid_request(request, InvalidRequest("This can no longer be undone."))
    report = BulkReport()
    fault = ""
    try:
        for span in spans:
            if span.actor != permissions.actor_of(request):
                raise permissions.Denied(permissions.ACT_ON_JOBS)
            for changes in put_back(JobQueue(), span):
                report.add(changes)
    except QueueError as error:
        fault = cell(str(error), 500)
    return show(request, _REPORT, title="Undo", step=report.as_step(error=fault), order=None, back=_list_address(""))


def _act(order: BulkRequest, by: Confirmed, *, seconds: float) -> Step:
    """Act on batch after batch until the time is up."""
    before = _newest_event()
    report, queue, begun = BulkReport(), JobQueue(), time.monotonic()
    fault = ""
    report.cursor = order.cursor or None
    try:
        for refs, following in order.batches():
            report.add(order.action.act(queue, refs, by) if refs else [])
            report.cursor = following
            if time.monotonic() - begun > seconds:
                break
    except QueueError as error:
        fault = cell(str(error), 500)
    said = {
        "action": order.action.name,
        "changed": report.changed,
        "refused": sum(map(len, report.refused.values())),
    }
    logger.info(
        "jobs.acted", extra={"actor": by.actor, **said, "scope": "selected" if order.filter is None else "matching"}
    )
    return report.as_step(error=fault, undo=_undo_token(order.action, by, before))


def _question(request: HttpRequest, order: BulkRequest, form: ConfirmForm, problem: str = "") -> HttpResponse:
    count, is_exact = order.count()
    chosen = None if order.filter is None else JobFilter(QueryDict(order.filter))
    return show(
        request,
        "admin/jobs/confirm.html",
        title=order.action.title,
        order=order,
        count=count,
        is_exact=is_exact,
        is_everything=chosen is not None and not chosen.is_set,
        cursor=order.cursor or (chosen.walk().start() if chosen else ""),
        problem=problem,
        form=form,
        zone=zone_of(request.POST),
    )


def _invalid_request(request: HttpRequest, error: Exception) -> HttpResponse:
    return show(
        request,
        "admin/jobs/invalid_request.html",
        status=400,
        title="Nothing was changed",
        why=str(error),
        back=_list_address(_listed(request.POST) or ""),
    )


def _listed(form: QueryDict) -> str | None:
    """Return the filter of the list that a form came from, of which only known filters are kept."""
    return JobFilter(QueryDict(form.get("filter", "")[:4_000])).encoded() if "filter" in form else None


def _list_address(query: str) -> str:
    return reverse("admin:derive_job_changelist") + (f"?{query}" if query else "")


def _read_ref(text: str) -> JobRef:
    job_id, _tilde, status = text.partition("~")
    guid = as_guid(job_id)
    if guid is None or status not in STATES:
        raise InvalidRequest("A selected job's id is invalid.")
    return JobRef(job_id=guid, expected_status=JobStatus(status))


def _newest_event() -> int:
    return int(JobEvent.objects.order_by("-event_seq").values_list("event_seq", flat=True).first() or 0)


def _undo_token(action: Action, by: Confirmed, before: int) -> str:
    if action.undone_by is None:
        return ""
    span = EventSpan(event=action.undone_by, actor=by.actor, reason=by.reason, after=before, until=_newest_event())
    return Signer(salt="undo").sign(span.written())


def _last_events(ids: list[UUID]) -> dict[UUID, str]:
    """Describe the last event of each job."""
    last_events: dict[UUID, str] = {}
    for event in JobEvent.objects.filter(job_id__in=ids).order_by("-event_seq")[: 10 * MAX_EXAMPLES]:
        last_events.setdefault(event.job_id, cell(f"last: {event.event} by {event.actor}, now {event.to_status}", 200))
    return last_events
