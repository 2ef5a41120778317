"""Acting on selected jobs: a page that says what will happen and asks why, then ``JobQueue``."""

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from derive.admin import rights
from derive.admin.texts import cell
from derive.contracts import JobChange, JobRef
from derive.errors import QueueError
from derive.queue import JobQueue
from derive.states import JobStatus

MAX_JOBS = 500
MAX_REASON = 1_000
MAX_TOLD = 20

Act = Callable[[JobQueue, Sequence[JobRef], str, str], list[JobChange]]


def act_on(
    request: HttpRequest, jobs: QuerySet[Any], *, name: str, title: str, what: str, act: Act
) -> HttpResponse | None:
    """Ask first; once confirmed with a reason, act on the jobs as they were when the question was put."""
    rights.demand(request, rights.ACT_ON_JOBS)
    reason = request.POST.get("reason", "").strip()[:MAX_REASON]
    if request.POST.get("confirmed") != "yes" or not reason:
        asked = list(jobs.values_list("job_id", "status")[:MAX_JOBS])
        context = {
            **admin.site.each_context(request),
            "title": title,
            "what": what,
            "count": len(asked),
            "refs": [f"{job_id}:{status}" for job_id, status in asked],
            "name": name,
            "checkbox": "_selected_action",
            "keys": [job_id for job_id, _status in asked],
            "lacks_reason": request.POST.get("confirmed") == "yes",
        }
        return render(request, "admin/derive/confirm.html", context)
    try:
        changes = act(JobQueue(), _refs(request), rights.actor_of(request), reason)
    except (QueueError, ValueError) as error:
        messages.error(request, cell(f"{title}: {error}", 500))
        return None
    refused = [change for change in changes if not change.changed]
    messages.success(request, f"{title}: {len(changes) - len(refused)} changed, {len(refused)} refused.")
    for change in refused[:MAX_TOLD]:
        messages.warning(request, cell(f"{change.job_id} was refused: {change.why}", 300))
    return None


def _refs(request: HttpRequest) -> list[JobRef]:
    pairs = [ref.split(":", 1) for ref in request.POST.getlist("ref")[:MAX_JOBS]]
    return [JobRef(job_id=pair[0], expected_status=JobStatus(pair[-1])) for pair in pairs]


@admin.action(description="Requeue", permissions=["act"])
def requeue(_page: Any, request: HttpRequest, jobs: QuerySet[Any]) -> HttpResponse | None:
    """Queue ended jobs anew."""
    return act_on(
        request,
        jobs,
        name="requeue",
        title="Requeue",
        what="Failed, dead-lettered and cancelled jobs are queued anew with all their attempts. Others are refused.",
        act=lambda queue, refs, actor, reason: queue.requeue(refs, actor=actor, reason=reason),
    )


@admin.action(description="Cancel", permissions=["act"])
def cancel(_page: Any, request: HttpRequest, jobs: QuerySet[Any]) -> HttpResponse | None:
    """Cancel waiting jobs, and ask running ones to stop."""
    return act_on(
        request,
        jobs,
        name="cancel",
        title="Cancel",
        what="Waiting jobs are cancelled at once, running ones are asked to stop. Ended ones are refused.",
        act=lambda queue, refs, actor, reason: queue.cancel(refs, actor=actor, reason=reason),
    )
