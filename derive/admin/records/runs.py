"""Runs: every attempt at every job."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import URLPattern, path
from typing_extensions import override

from derive.admin.lists import suggestions
from derive.admin.lists.pages import chips, paging, show
from derive.admin.lists.query_params import as_guid
from derive.admin.lists.read_only_admin import ReadOnlyAdmin
from derive.admin.records import run_diff
from derive.admin.records.filters import KINDS, STATES, read_run_filter
from derive.admin.site import permissions
from derive.models import Run

COLUMNS = (
    *("run_seq", "run_id", "job_id", "attempt", "counted", "status", "error_kind", "model_name", "model_tag"),
    *("prompt_tokens", "output_tokens", "total_ms", "started_utc", "worker_id"),
)


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    """The attempts, newest first, paged by key."""

    payloads = frozenset({"output_json", "error"})

    @override
    def get_urls(self) -> list[URLPattern]:
        compare = self.admin_site.admin_view(self.compare)
        return [path("compare/", compare, name="derive_run_compare"), *super().get_urls()]

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the newest runs that match, a page at a time."""
        permissions.demand(request, permissions.VIEW_RUNS)
        chosen = read_run_filter(request.GET)
        page = chosen.walk.page(older=request.GET.get("older"), newer=request.GET.get("newer"))
        return show(
            request,
            "admin/runs/list.html",
            title="Runs",
            runs=Run.objects.filter(run_seq__in=page.sequences).only(*COLUMNS).order_by("-run_seq"),
            paging=paging(request.GET, page),
            chosen=chosen,
            chips=chips(request.GET, chosen.active, chosen.labels),
            states=STATES,
            kinds=KINDS,
            interrogations=suggestions.interrogation_keys(),
            models=suggestions.model_names(),
        )

    def compare(self, request: HttpRequest) -> HttpResponse:
        """Show two runs side by side; their output and prompts only to whoever may see payloads."""
        permissions.demand(request, permissions.VIEW_RUNS)
        named = _two_runs(request.GET)
        asked = [as_guid(one) for one in named]
        found = {run.run_id: run for run in Run.objects.filter(run_id__in=[one for one in asked if one])}
        left, right = (found.get(one) if one else None for one in asked)
        context: dict[str, Any] = {"asked": named}
        if left is not None and right is not None:
            context |= {
                "left": left,
                "right": right,
                "facts": run_diff.facts_of(left, right),
                "options": run_diff.fields_of(left.options_json, right.options_json),
                "metrics": run_diff.fields_of(left.metrics_json, right.metrics_json),
            }
            if permissions.may(request, permissions.SEE_PAYLOADS):
                context["output"] = run_diff.fields_of(left.output_json, right.output_json)
                context["prompt"] = run_diff.difference(run_diff.prompt_of(left), run_diff.prompt_of(right))
        return show(request, "admin/runs/compare.html", title="Compare two runs", **context)


def _two_runs(query: QueryDict) -> list[str]:
    """Return the ids of the runs to compare: ``a`` and ``b``, or those ticked in a list, the earlier first."""
    ticked = query.getlist("run")[:2][::-1]
    named = [query.get("a", ""), query.get("b", "")]
    return [one.strip()[:40] for one in (ticked if len(ticked) == 2 else named)]
