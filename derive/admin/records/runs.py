"""Runs: every attempt at every job."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import URLPattern, path
from typing_extensions import override

from derive.admin.lists.keyset_admin import KeysetAdmin
from derive.admin.lists.pages import show
from derive.admin.lists.query_params import as_guid
from derive.admin.records import run_diff
from derive.admin.records.filters import RunFilter
from derive.admin.site import permissions
from derive.models import Run


@admin.register(Run)
class RunAdmin(KeysetAdmin):
    """All runs, newest first, paged by key."""

    filters = RunFilter
    columns = (
        *("run_seq", "run_id", "job_id", "attempt", "counted", "status", "error_kind", "model_name", "model_tag"),
        *("prompt_tokens", "output_tokens", "total_ms", "started_utc", "worker_id"),
    )
    template, title = "admin/runs/list.html", "Runs"
    payloads = frozenset({"output_json", "error"})

    @override
    def get_urls(self) -> list[URLPattern]:
        compare = self.admin_site.admin_view(self.compare)
        return [path("compare/", compare, name="derive_run_compare"), *super().get_urls()]

    def compare(self, request: HttpRequest) -> HttpResponse:
        """Show two runs side by side; output and prompts only to users who may see payloads."""
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
                "metrics": run_diff.metrics_of(left.metrics_json, right.metrics_json),
            }
            if permissions.may(request, permissions.SEE_PAYLOADS):
                context["output"] = run_diff.fields_of(run_diff.answer_of(left), run_diff.answer_of(right))
                context["prompt"] = run_diff.difference(run_diff.prompt_of(left), run_diff.prompt_of(right))
        return show(request, "admin/runs/compare.html", title="Compare two runs", **context)


def _two_runs(query: QueryDict) -> list[str]:
    """Return the ids of the runs to compare, earlier first: ``a`` and ``b``, or those selected in a list."""
    ticked = query.getlist("run")[:2][::-1]
    named = [query.get("a", ""), query.get("b", "")]
    return [one.strip()[:40] for one in (ticked if len(ticked) == 2 else named)]
