"""Runs: every attempt at every job."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path
from typing_extensions import override

from derive.admin import comparing, rights
from derive.admin.asking import as_guid
from derive.admin.columns import STATUS_COLOURS, column
from derive.admin.filters import StartedFilter
from derive.admin.lists import show
from derive.admin.reading import ReadingAdmin, link_to
from derive.models import Run


@admin.register(Run)
class RunAdmin(ReadingAdmin):
    """The attempts, newest first."""

    number = "run_seq"
    payloads = frozenset({"output_json", "error"})
    list_display = (
        "run",
        "of_job",
        "attempt",
        "state",
        "error_kind",
        "model_name",
        "prompt_tokens",
        "output_tokens",
        "duration",
        "started_utc",
        "worker_id",
    )
    list_filter = ("status", "error_kind", "counted", StartedFilter)
    search_fields = ("run_id",)
    search_help_text = "The whole of a run id or job id"

    @override
    def get_urls(self) -> list[URLPattern]:
        compare = self.admin_site.admin_view(self.compare)
        return [path("compare/", compare, name="derive_run_compare"), *super().get_urls()]

    def compare(self, request: HttpRequest) -> HttpResponse:
        """Show two runs side by side; their output and prompts only to whoever may see payloads."""
        rights.demand(request, rights.VIEW_RUNS)
        asked = [as_guid(request.GET.get(name, "").strip()) for name in ("a", "b")]
        found = {run.run_id: run for run in Run.objects.filter(run_id__in=[one for one in asked if one])}
        left, right = (found.get(one) if one else None for one in asked)
        context: dict[str, Any] = {"asked": [request.GET.get("a", "")[:40], request.GET.get("b", "")[:40]]}
        if left is not None and right is not None:
            context |= {
                "left": left,
                "right": right,
                "facts": comparing.facts_of(left, right),
                "options": comparing.fields_of(left.options_json, right.options_json),
                "metrics": comparing.fields_of(left.metrics_json, right.metrics_json),
            }
            if rights.may(request, rights.SEE_PAYLOADS):
                context["output"] = comparing.fields_of(left.output_json, right.output_json)
                context["prompt"] = comparing.difference(comparing.prompt_of(left), comparing.prompt_of(right))
        return show(request, "admin/runs/compare.html", title="Compare two runs", **context)

    @override
    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by exactly what an index knows."""
        if not search_term.strip():
            return queryset, False
        guid = as_guid(search_term.strip())
        return (queryset.none() if guid is None else queryset.filter(Q(run_id=guid) | Q(job_id=guid))), False

    @column("run")
    def run(self, row: Run) -> Any:
        """Return the link to the run."""
        return link_to("run", row.run_id, f"{row.run_id}"[:8])

    @column("job")
    def of_job(self, row: Run) -> Any:
        """Return the link to its job."""
        return link_to("job", row.job_id, f"{row.job_id}"[:8])

    @column("status", label=STATUS_COLOURS)
    def state(self, row: Run) -> str:
        """Return the state."""
        return row.status

    @column("duration")
    def duration(self, row: Run) -> str | None:
        """Return how long the model's call took."""
        return None if row.total_ms is None else f"{row.total_ms / 1000:,.1f} s"
