"""Audit: every event of every job."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from typing_extensions import override

from derive.admin.asking import as_guid
from derive.admin.columns import column
from derive.admin.filters import HappenedFilter
from derive.admin.reading import ReadingAdmin, link_to
from derive.admin.texts import cell
from derive.models import JobEvent


@admin.register(JobEvent)
class JobEventAdmin(ReadingAdmin):
    """The events, newest first."""

    number = "event_seq"
    list_display = ("event_seq", "at_utc", "event", "of_job", "move", "actor", "db_user", "why")
    list_filter = ("event", "to_status", HappenedFilter)
    search_fields = ("job_id",)
    search_help_text = "The whole of a job id"

    @override
    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by exactly what an index knows."""
        if not search_term.strip():
            return queryset, False
        guid = as_guid(search_term.strip())
        return (queryset.none() if guid is None else queryset.filter(job_id=guid)), False

    @column("job")
    def of_job(self, row: JobEvent) -> Any:
        """Return the link to its job."""
        return link_to("job", row.job_id, f"{row.job_id}"[:8])

    @column("move")
    def move(self, row: JobEvent) -> str:
        """Return from which state to which."""
        return f"{row.from_status or '(none)'} → {row.to_status}"

    @column("reason")
    def why(self, row: JobEvent) -> str:
        """Return the reason given."""
        return cell(row.reason)
