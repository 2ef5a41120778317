"""Experiments: the list, and the page of one with its progress or its result. The scheduler scores; pages only read."""

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import path, reverse
from typing_extensions import override

from derive.admin.display.untrusted_text import cell
from derive.admin.evaluation.case_page import case_page
from derive.admin.evaluation.result_shown import MAX_CASES_SHOWN, METRICS, shown_name, shown_variants
from derive.admin.evaluation.starting import start_page
from derive.admin.lists.filters import TIMES, ListFilter, MomentFilter, TextFilter
from derive.admin.lists.keyset import Condition, Page, equals
from derive.admin.lists.keyset_admin import KeysetAdmin
from derive.admin.lists.live_answer import REFRESH_SECONDS, answer
from derive.admin.lists.pages import rights_of, show
from derive.admin.site import permissions
from derive.batches.acting import cancel_batch
from derive.batches.reading import count_jobs
from derive.experiments.opening import gates_of, variants_of
from derive.experiments.progress import progress_of
from derive.experiments.result import kept_result
from derive.models import Experiment
from derive.queue import JobQueue
from derive.states import ENDED

logger = logging.getLogger(__name__)

CANCEL_SECONDS = 20.0
"""How long one request cancels jobs; the same button goes on with what is left."""


class ExperimentFilter(ListFilter):
    """The filters of the list of experiments."""

    rows_of, sequence, time = Experiment, "experiment_seq", "created_utc"

    set_name = TextFilter("Set", is_wide=True)
    created_by = TextFilter("Created by")
    since = MomentFilter("Created since", placeholder=TIMES)
    until = MomentFilter("Created before")

    @override
    def rest(self) -> Sequence[Condition]:
        wanted = [(f"t.{name}", self.values[name]) for name in ("set_name", "created_by")]
        return tuple(equals(column, value) for column, value in wanted if value)


@admin.register(Experiment)
class ExperimentAdmin(KeysetAdmin):
    """All experiments, newest first."""

    filters = ExperimentFilter
    columns = (
        *("experiment_seq", "experiment_id", "set_name", "batch_id", "created_utc", "created_by", "variants_json"),
        *("gates_json", "repeats", "cases", "is_passed", "scored_utc"),
    )
    template, title = "admin/experiments/list.html", "Experiments"

    @override
    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        return [
            path("start/", wrap(start_page), name="derive_experiment_start"),
            path("<uuid:key>/cancel/", wrap(self.cancel_view), name="derive_experiment_cancel"),
            path("<uuid:key>/live/", wrap(self.page_live), name="derive_experiment_live"),
            path("<uuid:key>/cases/<int:case_no>/<int:variant>/", wrap(self.case_view), name="derive_experiment_case"),
            *super().get_urls(),
        ]

    @override
    def rows(self, page: Page) -> list[Any]:
        """Return the experiments, each with its progress; one query for all."""
        experiments = super().rows(page)
        counted = count_jobs([one.batch_id for one in experiments])
        for one in experiments:
            variants = variants_of(one)
            one.variants = [variant.name for variant in variants if not variant.is_live]
            one.jobs = one.cases * len(variants) * one.repeats
            jobs = counted[one.batch_id]
            one.ended = one.jobs if one.scored_utc else sum(jobs[status] for status in ENDED)
            one.state = _state(one, is_ended=one.ended >= one.jobs)
        return experiments

    @override
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Show one experiment: its result, or how far it has come."""
        permissions.demand(request, permissions.VIEW_EXPERIMENTS)
        experiment = _found(object_id)
        context = _context(experiment)
        if experiment.scored_utc is not None:
            result = kept_result(experiment)
            context |= {"result": result, "metrics": METRICS, "variants": shown_variants(experiment, result)}
            context["cases_shown"] = MAX_CASES_SHOWN
        title = f"Experiment on {cell(experiment.set_name)}"
        return show(request, "admin/experiments/page.html", title=title, **context)

    def page_live(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """Return the progress of an experiment that is not scored yet, if it changed."""
        permissions.demand(request, permissions.VIEW_EXPERIMENTS)
        experiment = _found(key)
        context = _context(experiment)

        def render() -> str:
            own = {"layout": "admin/experiments/live.html", "may": rights_of(request)}
            return render_to_string("admin/experiments/page.html", {**context, **own}, request)

        version = (context["state"], context["progress"])
        return answer(request, version=version, render=render, is_over=experiment.scored_utc is not None)

    def cancel_view(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """Queue no more jobs of an experiment, and cancel those that have not ended."""
        permissions.demand(request, permissions.VIEW_EXPERIMENTS, permissions.RUN_EXPERIMENTS)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        experiment, actor = _found(key), permissions.actor_of(request)
        if experiment.scored_utc is None:
            _change, changes = cancel_batch(
                JobQueue(), experiment.batch_id, actor=actor, reason="experiment cancelled", seconds=CANCEL_SECONDS
            )
            logger.info("experiment.cancelled", extra={"actor": actor, "experiment_id": str(key)})
            rest = "" if changes.is_complete else " More jobs are left: cancel again to go on."
            messages.success(request, f"Cancelled; {changes.changed:,} jobs changed.{rest}")
        return HttpResponseRedirect(reverse("admin:derive_experiment_change", args=[key]))

    def case_view(self, request: HttpRequest, key: UUID, case_no: int, variant: int) -> HttpResponse:
        """Show two answers about one case side by side."""
        permissions.demand(request, permissions.VIEW_EXPERIMENTS, permissions.SEE_PAYLOADS)
        return case_page(request, _found(key), case_no=case_no, variant=variant)


def _found(key: UUID | str) -> Experiment:
    try:
        found: Experiment | None = Experiment.objects.filter(experiment_id=UUID(str(key))).first()
    except ValueError:
        found = None
    if found is None:
        raise Http404("There is no such experiment.")
    return found


def _context(experiment: Experiment) -> dict[str, Any]:
    progress = progress_of(experiment)
    return {
        "experiment": experiment,
        "progress": progress,
        "state": _state(experiment, is_ended=progress.is_done),
        "names": [shown_name(variant.model_dump()) for variant in variants_of(experiment)],
        "refresh_seconds": REFRESH_SECONDS,
    }


def _state(experiment: Experiment, *, is_ended: bool) -> str:
    if experiment.scored_utc is None:
        return "not scored yet" if is_ended else "running"
    if not gates_of(experiment):
        return "done"
    return "passed" if experiment.is_passed else "failed"
