"""Jobs: the list, and the page of one."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.utils.timesince import timesince
from typing_extensions import override

from derive.admin import rights
from derive.admin.acting import cancel, requeue
from derive.admin.columns import column
from derive.admin.filters import EndedFilter, InterrogationFilter, QueuedFilter
from derive.admin.job_page import job_context
from derive.admin.reading import ReadingAdmin, link_to
from derive.admin.texts import cell
from derive.models import Job, Run

STATUS_COLOURS = {
    "NEW": "info",
    "SCHEDULED": "default",
    "RUNNING": "warning",
    "SUCCEEDED": "success",
    "FAILED": "danger",
    "DEADLETTER": "danger",
    "CANCELLED": "default",
}


@admin.register(Job)
class JobAdmin(ReadingAdmin):
    """The queue, newest first."""

    number = "job_seq"
    indexed = frozenset({"status", "interrogation_key", "error_kind", "created_by", "model_hint"})
    payloads = frozenset({"input_json", "evidence_ref_json", "last_error"})
    list_display = (
        "job",
        "state",
        "priority",
        "interrogation_key",
        "entity",
        "model_asked",
        "attempts",
        "age",
        "error_kind",
        "worker",
    )
    actions = (requeue, cancel)
    list_filter = ("status", InterrogationFilter, "error_kind", QueuedFilter, EndedFilter)
    search_fields = ("job_id",)
    search_help_text = "The whole of a job id, run id, entity or dedupe key"

    def has_act_permission(self, request: HttpRequest) -> bool:
        """Whether the actions are for this person; each asks again when it is called."""
        return rights.may(request, rights.ACT_ON_JOBS)

    @override
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Show one job."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        guid = as_guid_or_none(object_id)
        job = None if guid is None else Job.objects.filter(job_id=guid).first()
        if job is None:
            raise Http404("There is no such job; it may have been purged.")
        context = {
            **self.admin_site.each_context(request),
            "title": f"Job {job.job_id}",
            "opts": self.opts,
            **job_context(request, job),
        }
        return render(request, "admin/derive/job.html", context)

    @override
    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Find by exactly what an index knows."""
        term = search_term.strip()
        if not term:
            return queryset, False
        found = Q(entity_id=term[:400]) | Q(dedupe_key=term[:400])
        guid = as_guid_or_none(term)
        if guid is not None:
            found |= Q(job_id__in=[guid, *Run.objects.filter(run_id=guid).values_list("job_id", flat=True)])
        return queryset.filter(found), False

    @column("job")
    def job(self, row: Job) -> Any:
        """Return the link to the job, by the beginning of its id."""
        return link_to("job", row.job_id, f"{row.job_id}"[:8])

    @column("status", label=STATUS_COLOURS)
    def state(self, row: Job) -> str:
        """Return the state."""
        return row.status

    @column("entity")
    def entity(self, row: Job) -> str:
        """Return what the job is about."""
        return cell(" ".join(part for part in (row.entity_type, row.entity_id) if part), 60)

    @column("model")
    def model_asked(self, row: Job) -> str | None:
        """Return the model asked for."""
        return row.model_hint and cell(row.model_hint, 40)

    @column("attempts")
    def attempts(self, row: Job) -> str:
        """Return attempts counted of those allowed."""
        return f"{row.attempt_count}/{row.max_attempts}"

    @column("queued")
    def age(self, row: Job) -> str:
        """Return how long ago it was queued."""
        return f"{timesince(row.created_utc, timezone.now(), depth=1)} ago"

    @column("worker")
    def worker(self, row: Job) -> str | None:
        """Return who works on it."""
        return row.locked_by and cell(row.locked_by, 40)


def as_guid_or_none(text: str) -> UUID | None:
    """Return the guid a text is, or None."""
    try:
        return UUID(text.strip())
    except ValueError:
        return None
