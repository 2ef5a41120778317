"""Batches: the list, the page of one with its progress, time left and cost, and the form that changes one."""

import logging
from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import path, reverse
from typing_extensions import override

from derive.admin.batches import forms
from derive.admin.batches.forms import BatchForm
from derive.admin.display.units import duration
from derive.admin.display.untrusted_text import cell, pretty
from derive.admin.lists.filters import TIMES, ListFilter, MomentFilter, TextFilter
from derive.admin.lists.keyset import Condition, Page, equals
from derive.admin.lists.keyset_admin import KeysetAdmin
from derive.admin.lists.live_answer import REFRESH_SECONDS, answer
from derive.admin.lists.pages import rights_of, show
from derive.admin.site import permissions
from derive.batches import acting
from derive.batches.reading import BatchState, Range, count_jobs, read_figures, state_of
from derive.errors import QueueError
from derive.models import Batch, BatchEvent
from derive.queue import JobQueue
from derive.states import ENDED, JobStatus

logger = logging.getLogger(__name__)

MAX_EVENTS = 100
ACT_SECONDS = 20.0
"""How long one request changes jobs; the page says what is left, and the same form goes on with it."""
_FAILED = (JobStatus.FAILED, JobStatus.DEADLETTER)


class BatchFilter(ListFilter):
    """The filters of the list of batches."""

    rows_of, sequence, time = Batch, "batch_seq", "created_utc"

    name = TextFilter("Name", is_wide=True)
    created_by = TextFilter("Created by")
    since = MomentFilter("Created since", placeholder=TIMES)
    until = MomentFilter("Created before")

    @override
    def arms(self) -> Sequence[tuple[Condition, ...]]:
        return ((equals("name", self.values["name"]),),) if self.values["name"] else ((),)

    @override
    def rest(self) -> Sequence[Condition]:
        wanted = self.values["created_by"]
        return (equals("t.created_by", wanted),) if wanted else ()


@admin.register(Batch)
class BatchAdmin(KeysetAdmin):
    """All batches, newest first, paged by key."""

    filters = BatchFilter
    columns = (
        *("batch_seq", "batch_id", "name", "created_utc", "created_by", "queued_jobs", "filled_utc", "paused_utc"),
        *("cancelled_utc", "finished_utc", "spent_tokens", "budget_tokens"),
    )
    template, title = "admin/batches/list.html", "Batches"
    payloads: ClassVar[frozenset[str]] = frozenset({"on_finish_json"})

    @override
    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("live/", wrap(self.list_live), name="derive_batch_list_live"),
            path("<uuid:key>/live/", wrap(self.page_live), name="derive_batch_live"),
            path("<uuid:key>/act/", wrap(self.act_view), name="derive_batch_act"),
            *super().get_urls(),
        ]

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the newest batches; the first page is live."""
        return super().changelist_view(request, self.live_context(request, reverse("admin:derive_batch_list_live")))

    def list_live(self, request: HttpRequest) -> HttpResponse:
        """Return the rows of the list's first page, if they changed; four statements."""
        permissions.demand(request, permissions.VIEW_BATCHES)
        rows = self.rows(BatchFilter(request.GET).walk().page())
        version = [(row.batch_seq, row.state, row.ended, row.failed, row.queued_jobs, row.spent_tokens) for row in rows]
        return answer(request, version=version, render=lambda: self.render_live(request, rows))

    @override
    def rows(self, page: Page) -> list[Any]:
        """Return the batches, each with its jobs as last counted; one query for all."""
        batches = super().rows(page)
        counted = count_jobs([batch.batch_id for batch in batches])
        for batch in batches:
            jobs = counted[batch.batch_id]
            batch.state = state_of(batch).value
            batch.ended = sum(jobs[status] for status in ENDED)
            batch.failed = sum(jobs[status] for status in _FAILED)
        return batches

    @override
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one batch."""
        permissions.demand(request, permissions.VIEW_BATCHES)
        batch = _found(object_id)
        return show(request, "admin/batches/page.html", title=f"Batch {cell(batch.name)}", **_context(request, batch))

    def page_live(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """Return the moving parts of a batch's page, if they changed."""
        permissions.demand(request, permissions.VIEW_BATCHES)
        batch = _found(key)
        context = _context(request, batch)
        figures = context["figures"]
        version = (figures.jobs, batch.counted_utc, batch.spent_tokens, batch.paused_utc, batch.cancelled_utc)

        def render() -> str:
            own = {"layout": "admin/batches/live.html", "may": rights_of(request)}
            return render_to_string("admin/batches/page.html", {**context, **own}, request)

        return answer(request, version=version, render=render, is_over=not batch.is_watched)

    def act_view(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """Ask what is to become of a batch, and do it."""
        permissions.demand(request, permissions.VIEW_BATCHES, permissions.ACT_ON_JOBS)
        batch = _found(key)
        if request.method != "POST":
            return _form_page(request, batch, BatchForm(initial=_initial(batch)))
        form = BatchForm(request.POST)
        if not form.is_valid():
            return _form_page(request, batch, form, status=400)
        try:
            words = _act(batch, form.cleaned_data, permissions.actor_of(request))
        except QueueError as error:
            form.add_error(None, str(error))
            return _form_page(request, batch, form, status=503)
        extra = {"actor": permissions.actor_of(request), "batch_id": batch.batch_id}
        logger.info("batch.set", extra={**extra, "action": form.cleaned_data["action"]})
        messages.success(request, words)
        return HttpResponseRedirect(reverse("admin:derive_batch_change", args=[batch.batch_id]))


def _found(key: UUID | str) -> Batch:
    try:
        found: Batch | None = Batch.objects.filter(batch_id=UUID(str(key))).first()
    except ValueError:
        found = None
    if found is None:
        raise Http404("There is no such batch.")
    return found


def _context(request: HttpRequest, batch: Batch) -> dict[str, Any]:
    figures = read_figures(batch)
    events = BatchEvent.objects.filter(batch_id=batch.batch_id).order_by("-event_seq")[:MAX_EVENTS]
    return {
        "batch": batch,
        "figures": figures,
        "is_marking": batch.marked_job_seq is not None,
        "is_moving": batch.is_watched,
        "refresh_seconds": REFRESH_SECONDS,
        "time_left": _in_words(figures.seconds_left) if figures.left else "",
        "costs": [
            ("Tokens", batch.spent_tokens, figures.tokens, batch.budget_tokens),
            ("Model seconds", batch.spent_model_ms / 1000, figures.model_seconds, batch.budget_model_seconds),
        ],
        "events": [(event, cell(event.reason, 500), cell(event.detail_json, 300)) for event in events],
        "follows": pretty(batch.on_finish_json or "") if permissions.may(request, permissions.SEE_PAYLOADS) else "",
    }


def _in_words(left: Range | None) -> str:
    if left is None:
        return "not known yet"
    high = "no upper bound is known" if left.high is None else duration(left.high)
    return f"{duration(left.expected)} ({duration(left.low)} to {high})"


def _initial(batch: Batch) -> dict[str, Any]:
    state = state_of(batch)
    action = {BatchState.PAUSED: forms.RESUME, BatchState.FILLING: forms.FILL, BatchState.ENDED: forms.RETRY}
    budgets = {"budget_tokens": batch.budget_tokens, "budget_model_seconds": batch.budget_model_seconds}
    return {"action": action.get(state, forms.PAUSE), **budgets}


def _act(batch: Batch, values: dict[str, Any], actor: str) -> str:
    """Do it, for ``ACT_SECONDS`` at most; return what happened."""
    queue, who = JobQueue(), {"actor": actor, "reason": values["reason"]}
    change, changes = None, None
    match values["action"]:
        case forms.PAUSE:
            change = queue.pause_batch(batch.batch_id, seconds=ACT_SECONDS, **who)
        case forms.RESUME:
            change = queue.resume_batch(batch.batch_id, seconds=ACT_SECONDS, **who)
        case forms.FILL:
            change = queue.fill_batch(batch.batch_id, **who)
        case forms.BUDGET:
            tokens, seconds = values["budget_tokens"] or 0, values["budget_model_seconds"] or 0
            change = queue.set_batch_budget(batch.batch_id, budget_tokens=tokens, budget_model_seconds=seconds, **who)
        case forms.CANCEL:
            change, changes = acting.cancel_batch(queue, batch.batch_id, seconds=ACT_SECONDS, **who)
        case forms.RETRY:
            changes = acting.retry_batch(queue, batch.batch_id, seconds=ACT_SECONDS, **who)
        case _:
            priority = values["priority"]
            changes = acting.reprioritize_batch(queue, batch.batch_id, priority=priority, seconds=ACT_SECONDS, **who)
    if changes is None:
        return "Done." if change and change.changed else f"Nothing changed: {change.why if change else ''}."
    refused = "".join(f" {jobs:,} not: {why}." for why, jobs in changes.refused.most_common(5))
    rest = "" if changes.is_complete else " More jobs are left: do the same again to go on."
    return f"{changes.changed:,} jobs changed.{refused}{rest}"


def _form_page(request: HttpRequest, batch: Batch, form: BatchForm, *, status: int = 200) -> HttpResponse:
    title = f"Change batch {cell(batch.name)}"
    return show(request, "admin/batches/act.html", title=title, batch=batch, form=form, status=status)
