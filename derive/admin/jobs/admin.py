"""Jobs: the list, and the page of one."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models.functions import Substr
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import URLPattern, path, reverse
from typing_extensions import override

from derive.admin.jobs import export, purge
from derive.admin.jobs.bulk import views as bulk_views
from derive.admin.jobs.bulk.actions import ACTIONS
from derive.admin.jobs.detail import job_context
from derive.admin.jobs.enqueue import views as enqueue_views
from derive.admin.jobs.filters import KINDS, LABELS, STATES, JobFilter
from derive.admin.jobs.upload import views as upload_views
from derive.admin.lists import suggestions
from derive.admin.lists.keyset import Page
from derive.admin.lists.pages import chips, paging, show
from derive.admin.lists.query_params import as_guid
from derive.admin.lists.read_only_admin import ReadOnlyAdmin
from derive.admin.site import permissions
from derive.models import Job

COLUMNS = (
    *("job_seq", "job_id", "status", "priority", "interrogation_key", "entity_type", "entity_id", "model_hint"),
    *("attempt_count", "max_attempts", "created_utc", "created_by", "available_utc", "locked_by", "locked_utc"),
    *("finished_utc", "error_kind", "cancel_requested_utc", "hold_utc"),
)
ERROR_CHARACTERS = 300


def rows_of(page: Page) -> list[Any]:
    """Return a page's jobs in its order, without what is long."""
    jobs = Job.objects.filter(job_seq__in=page.sequences).only(*COLUMNS)
    by_sequence = {job.job_seq: job for job in jobs.annotate(error=Substr("last_error", 1, ERROR_CHARACTERS))}
    return [by_sequence[number] for number in page.sequences if number in by_sequence]


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """The queue, newest first, paged by key."""

    payloads = frozenset({"input_json", "evidence_ref_json", "last_error"})

    @override
    def get_urls(self) -> list[URLPattern]:
        return [
            path("export/", self.admin_site.admin_view(export.export), name="derive_job_export_download"),
            path("enqueue/", self.admin_site.admin_view(enqueue_views.enqueue), name="derive_job_act_enqueue"),
            path("upload/", self.admin_site.admin_view(upload_views.upload), name="derive_job_act_upload"),
            path("upload/run/", self.admin_site.admin_view(upload_views.check), name="derive_job_act_upload_run"),
            path("upload/queue/", self.admin_site.admin_view(upload_views.queue), name="derive_job_act_upload_queue"),
            path(
                "upload/bad/", self.admin_site.admin_view(upload_views.bad), name="derive_job_act_upload_bad_download"
            ),
            path(
                "upload/discard/",
                self.admin_site.admin_view(upload_views.discard),
                name="derive_job_act_upload_discard",
            ),
            path("purge/", self.admin_site.admin_view(purge.look), name="derive_job_purge"),
            path("purge/run/", self.admin_site.admin_view(purge.run), name="derive_job_purge_run"),
            path("act/", self._acting(bulk_views.ask), name="derive_job_act"),
            path("act/run/", self._acting(bulk_views.run), name="derive_job_act_run"),
            path("act/undo/", self._acting(bulk_views.undo), name="derive_job_act_undo"),
            *super().get_urls(),
        ]

    def _acting(self, view: Callable[[HttpRequest], HttpResponseBase]) -> Any:
        """Wrap a view that acts on jobs."""

        def checked(request: HttpRequest) -> HttpResponseBase:
            permissions.demand(request, permissions.VIEW_JOBS, permissions.ACT_ON_JOBS)
            return view(request)

        return self.admin_site.admin_view(checked)

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Show the newest jobs that match, a page at a time."""
        permissions.demand(request, permissions.VIEW_JOBS)
        chosen = JobFilter.read(request.GET)
        if straight := _straight_to(chosen):
            return straight
        page = chosen.walk().page(older=request.GET.get("older"), newer=request.GET.get("newer"))
        return show(
            request,
            "admin/jobs/list.html",
            title="Jobs",
            jobs=rows_of(page),
            paging=paging(request.GET, page),
            chosen=chosen,
            chips=chips(request.GET, chosen.active(), LABELS),
            labels=LABELS,
            actions=list(ACTIONS.values()),
            states=STATES,
            kinds=KINDS,
            interrogations=suggestions.interrogation_keys(),
            models=suggestions.model_names(),
        )

    @override
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Show one job."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        guid = as_guid(object_id)
        job = None if guid is None else Job.objects.filter(job_id=guid).first()
        if job is None:
            raise Http404("There is no such job; it may have been purged.")
        context = {
            **self.admin_site.each_context(request),
            "title": f"Job {job.job_id}",
            "opts": self.opts,
            "actions": [
                one for one in ACTIONS.values() if permissions.may(request, permissions.ACT_ON_JOBS) and one.suits(job)
            ],
            **job_context(request, job),
        }
        return render(request, "admin/derive/job.html", context)


def _straight_to(chosen: JobFilter) -> HttpResponseRedirect | None:
    """Lead to the job whose id alone was searched for."""
    wanted = as_guid(chosen.texts["q"])
    if wanted is None or len(chosen.active()) > 1 or not Job.objects.filter(job_id=wanted).exists():
        return None
    return HttpResponseRedirect(reverse("admin:derive_job_change", args=(wanted,)))
