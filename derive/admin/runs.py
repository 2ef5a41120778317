"""Runs: every attempt at every job."""

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from typing_extensions import override

from derive.admin.asking import as_guid
from derive.admin.columns import STATUS_COLOURS, column
from derive.admin.filters import StartedFilter
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
