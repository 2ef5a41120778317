"""Workers, as reported by their heartbeats, and their jobs."""

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils import timezone
from typing_extensions import override

from derive.admin.lists.live_answer import REFRESH_SECONDS, answer
from derive.admin.lists.pages import show
from derive.admin.lists.read_only_admin import ReadOnlyAdmin
from derive.admin.site import permissions
from derive.models import Job, Worker
from derive.states import JobStatus

STALE_AFTER = timedelta(seconds=60)
"""Workers send a heartbeat every third of a lease, by default every 40 s; half an interval late is worth a look."""
GONE_AFTER = timedelta(seconds=120)
"""The default lease: without a heartbeat for this long, the worker has lost its jobs."""
MAX_WORKERS = 200
MAX_JOBS = 1_000
MAX_JOBS_SHOWN = 20


@admin.register(Worker)
class WorkerAdmin(ReadOnlyAdmin):
    """All workers, most recently seen first."""

    template = "admin/workers/list.html"

    @override
    def get_urls(self) -> list[Any]:
        return [path("live/", self.admin_site.admin_view(self.live), name="derive_worker_live"), *super().get_urls()]

    @override
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the workers and the jobs each holds; the page is live."""
        permissions.demand(request, permissions.VIEW_WORKERS)
        live: dict[str, Any] = {"live_from": reverse("admin:derive_worker_live"), "refresh_seconds": REFRESH_SECONDS}
        return show(request, self.template, title="Workers", rows=self.rows(), **live)

    def live(self, request: HttpRequest) -> HttpResponse:
        """Return the table, if it changed; two statements."""
        permissions.demand(request, permissions.VIEW_WORKERS)
        rows = self.rows()
        columns = ("worker_id", "last_seen_utc", "active_runs", "concurrency", "not_claiming_why")
        version = [
            (*(getattr(worker, name) for name in columns), state, [job.job_id for job in jobs])
            for worker, state, jobs in rows
        ]
        own = {"layout": "admin/lists/live.html", "rows": rows}
        return answer(request, version=version, render=lambda: render_to_string(self.template, own, request))

    def rows(self) -> list[tuple[Worker, str, list[Any]]]:
        """Return the workers, each with its state and some of its jobs."""
        workers = list(Worker.objects.order_by("-last_seen_utc", "worker_id")[:MAX_WORKERS])
        held: dict[str, list[Any]] = {worker.worker_id: [] for worker in workers}
        running = Job.objects.filter(status=JobStatus.RUNNING).order_by("-job_seq")
        for job in running.only("job_id", "locked_by", "locked_utc", "entity_id", "interrogation_key")[:MAX_JOBS]:
            held.get(job.locked_by, []).append(job)
        return [(worker, state_of(worker), held[worker.worker_id][:MAX_JOBS_SHOWN]) for worker in workers]


def state_of(worker: Worker) -> str:
    """Return ``alive``, ``stopping``, ``stopped``, ``stale`` (a late heartbeat) or ``gone`` (none for a whole lease).

    One that announced its stop and holds no run any more has stopped: nothing was lost.
    """
    if worker.stopping and not worker.active_runs:
        return "stopped"
    silent = timezone.now() - worker.last_seen_utc
    if silent > GONE_AFTER:
        return "gone"
    if silent > STALE_AFTER:
        return "stale"
    return "stopping" if worker.stopping else "alive"
