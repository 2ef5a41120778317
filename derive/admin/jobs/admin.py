"""Jobs: the list and the detail page."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.db.models.functions import Left
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from typing_extensions import override

from derive.admin.jobs import document, export, list_preferences, live, purge
from derive.admin.jobs.bulk import views as bulk_views
from derive.admin.jobs.bulk.actions import ACTIONS, Action
from derive.admin.jobs.detail import job_context, moving_context, version_of
from derive.admin.jobs.enqueue import views as enqueue_views
from derive.admin.jobs.filters import JobFilter
from derive.admin.jobs.fixes import commands_for, fix_for, quick_actions
from derive.admin.jobs.list_preferences import COOKIE, ListPreferences
from derive.admin.jobs.parts import progress_of
from derive.admin.jobs.summaries import summarise
from derive.admin.jobs.upload import views as upload_views
from derive.admin.lists.keyset import Page
from derive.admin.lists.keyset_admin import KeysetAdmin
from derive.admin.lists.query_params import as_guid
from derive.admin.lists.saved_views import named_view
from derive.admin.site import permissions
from derive.errors import ErrorKind
from derive.models import Job
from derive.states import ENDED

ERROR_CHARACTERS = 300


@admin.register(Job)
class JobAdmin(KeysetAdmin):
    """All jobs, newest first, paged by key."""

    filters = JobFilter
    columns = (
        *("job_seq", "job_id", "status", "priority", "interrogation_key", "entity_type", "entity_id", "model_hint"),
        *("attempt_count", "max_attempts", "created_utc", "created_by", "available_utc", "locked_by", "locked_utc"),
        *("finished_utc", "error_kind", "cancel_requested_utc", "hold_utc", "parent_job_id", "part_no", "part_count"),
    )
    template, title = "admin/jobs/list.html", "Jobs"
    payloads = frozenset({"input_json", "evidence_ref_json", "last_error"})
    built_in_views: ClassVar[Mapping[str, dict[str, str]]] = MappingProxyType(
        {
            "Ready": {"status": "NEW"},
            "Running": {"status": "RUNNING"},
            "Failed today": {"status": "FAILED", "ended": "today"},
            "Gave up": {"status": "DEADLETTER"},
        }
    )

    @override
    def views_offered(self, request: HttpRequest) -> Mapping[str, dict[str, str]]:
        return {**self.built_in_views, "Mine": {"created_by": permissions.actor_of(request)}}

    @override
    def display_of(self, request: HttpRequest) -> str:
        return ListPreferences.of(request).shared()

    @override
    def get_urls(self) -> list[URLPattern]:
        views: dict[tuple[str, str], Callable[..., HttpResponseBase]] = {
            ("export/", "derive_job_export_download"): export.export,
            ("enqueue/", "derive_job_act_enqueue"): enqueue_views.enqueue,
            ("upload/", "derive_job_act_upload"): upload_views.upload,
            ("upload/run/", "derive_job_act_upload_run"): upload_views.UploadCheck.as_view(),
            ("upload/queue/", "derive_job_act_upload_queue"): upload_views.queue,
            ("upload/bad/", "derive_job_act_upload_bad_download"): upload_views.bad,
            ("upload/discard/", "derive_job_act_upload_discard"): upload_views.discard,
            ("purge/", "derive_job_purge"): purge.look,
            ("purge/run/", "derive_job_purge_run"): purge.PurgeAction.as_view(),
            ("live/", "derive_job_list_live"): self.list_live,
            ("<uuid:key>/live/", "derive_job_page_live"): self.page_live,
            ("<uuid:key>/document/", "derive_job_document_payload"): document.show,
            ("display/", "derive_job_display"): list_preferences.choose,
            ("act/", "derive_job_act"): bulk_views.ask,
            ("act/run/", "derive_job_act_run"): bulk_views.BulkAction.as_view(),
            ("act/undo/", "derive_job_act_undo"): bulk_views.undo,
        }
        return [
            *(path(route, self.admin_site.admin_view(view), name=name) for (route, name), view in views.items()),
            *super().get_urls(),
        ]

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        """Show the newest matching jobs, or redirect to the job whose id was the only search term."""
        permissions.demand(request, permissions.VIEW_JOBS)
        wanted = as_guid(request.GET.get("q", "").strip())
        if wanted and len(JobFilter(request.GET).active()) == 1 and Job.objects.filter(job_id=wanted).exists():
            return HttpResponseRedirect(reverse("admin:derive_job_change", args=(wanted,)))
        return super().changelist_view(request, {**self._list_context(request), "commands": _commands(request)})

    def list_live(self, request: HttpRequest) -> HttpResponse:
        """Return the rows of the list's first page, if they may have changed."""
        permissions.demand(request, permissions.VIEW_JOBS)

        def render() -> str:
            rows = self.rows(JobFilter(request.GET).walk().page())
            return self.render_live(request, rows, **self._list_context(request))

        return live.answer(request, version=(live.queue_version(), request.COOKIES.get(COOKIE)), render=render)

    def page_live(self, request: HttpRequest, key: UUID) -> HttpResponse:
        """Return the moving parts of a job's page, if they changed."""
        permissions.demand(request, permissions.VIEW_JOBS)
        job = _found(key)
        context = moving_context(request, job)

        def render() -> str:
            own = {"layout": "admin/jobs/live_job.html", "actions": _actions(request, job)}
            return render_to_string("admin/derive/job.html", {**context, **own}, request)

        return live.answer(request, version=version_of(context), render=render, is_over=job.status in ENDED)

    def _list_context(self, request: HttpRequest) -> dict[str, Any]:
        """Return what the list needs beyond its rows; only its first page is live."""
        chosen = JobFilter(request.GET)
        quick = quick_actions(status=chosen.values["status"], error_kind=chosen.values["error_kind"])
        return {
            "actions": list(ACTIONS.values()),
            "preferences": ListPreferences.of(request, named_view(request, "job")),
            "fix": fix_for(chosen.values["error_kind"]),
            "quick": [ACTIONS[name] for name in quick],
            **self.live_context(request, reverse("admin:derive_job_list_live")),
        }

    @override
    def listed(self) -> "QuerySet[Any]":
        jobs: QuerySet[Any] = super().listed().annotate(error=Left("last_error", ERROR_CHARACTERS))
        return jobs

    @override
    def rows(self, page: Page) -> list[Any]:
        """Return the jobs, each with the summary of its answer and how far its parts are."""
        jobs = super().rows(page)
        answers, parts = summarise(jobs), progress_of(jobs)
        for job in jobs:
            job.answer, job.progress = answers.get(job.job_id), parts.get(job.job_id)
        return jobs

    @override
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponseBase:
        """Show one job."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        job = _found(as_guid(object_id))
        context = {
            **self.admin_site.each_context(request),
            "title": f"Job {job.job_id}",
            "opts": self.opts,
            "actions": _actions(request, job),
            "refresh_seconds": live.REFRESH_SECONDS,
            **job_context(request, job),
        }
        return render(request, "admin/derive/job.html", context)


def _commands(request: HttpRequest) -> list[str]:
    """Return the commands that fix the newest of the jobs that match, where commands do."""
    chosen = JobFilter(request.GET)
    if chosen.values["error_kind"] != ErrorKind.MODEL_NOT_FOUND:
        return []
    newest = Job.objects.filter(job_seq__in=chosen.walk().page().sequences, model_hint__isnull=False)
    return commands_for(chosen.values["error_kind"], newest.values_list("model_hint", flat=True))


def _found(key: UUID | None) -> Job:
    job: Job | None = None if key is None else Job.objects.filter(job_id=key).first()
    if job is None:
        raise Http404("There is no such job; it may have been purged.")
    return job


def _actions(request: HttpRequest, job: Job) -> list[Action]:
    """Return the actions that this user may take and that would change this job."""
    return [one for one in ACTIONS.values() if permissions.may(request, permissions.ACT_ON_JOBS) and one.suits(job)]
