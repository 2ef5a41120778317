"""Enqueue: a form generated from an interrogation's input contract, a preview, and the queued job."""

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from derive.admin.display.untrusted_text import cell
from derive.admin.jobs.enqueue.evidence_formset import evidence_forms
from derive.admin.jobs.enqueue.job_form import InvalidJob, JobForm
from derive.admin.jobs.enqueue.model_choices import model_choices
from derive.admin.jobs.enqueue.preview import Preview, preview_job
from derive.admin.lists.pages import show
from derive.admin.lists.query_params import as_guid
from derive.admin.lists.suggestions import registry
from derive.admin.site import permissions
from derive.contracts import Enqueued, JobInput
from derive.errors import ConfigurationError, LakeError, LakeUnavailable, QueueError, RunError
from derive.models import Job
from derive.queue import JobQueue
from derive.states import STATE_NAMES


def enqueue(request: HttpRequest) -> HttpResponse:
    """Show the form, preview its job, or queue it."""
    permissions.demand(request, permissions.VIEW_JOBS, permissions.ACT_ON_JOBS)
    if request.method != "POST" and "from" in request.GET:
        return _repeated(request)
    form, step = JobForm(request), request.POST.get("step", "")
    if step == "preview":
        permissions.demand(request, permissions.SEE_PAYLOADS)
    if step not in {"preview", "enqueue"}:
        # Not validated yet: an interrogation was chosen, or another piece of evidence was requested.
        return _page(request, form, wants_more=step == "more")
    try:
        job = form.read()
    except InvalidJob as error:
        return _page(request, form, problems=error.problems, status=400)
    return _previewed(request, form, job) if step == "preview" else _queued(request, form, job)


def _repeated(request: HttpRequest) -> HttpResponse:
    """Show the form filled with an earlier job."""
    permissions.demand(request, permissions.SEE_PAYLOADS)
    guid = as_guid(request.GET["from"])
    job: Job | None = None if guid is None else Job.objects.filter(job_id=guid).first()
    if job is None:
        raise Http404("There is no such job; it may have been purged.")
    form = JobForm(request, job)
    missing = f"{job.interrogation_key} is not installed here. Choose another interrogation; its input may differ."
    problems = () if form.interrogation.key == job.interrogation_key else (missing,)
    return _page(request, form, problems=problems, repeated=job)


def _queued(request: HttpRequest, form: JobForm, job: JobInput) -> HttpResponse:
    try:
        answer = JobQueue().enqueue(job, actor=permissions.actor_of(request), reason=form.reason)
    except QueueError as error:
        return _page(request, form, problems=(str(error),), status=503)
    if answer.is_duplicate:
        return _page(request, form, holder=answer, status=409)
    messages.success(request, f"The job is queued ({STATE_NAMES[answer.status].lower()}).")
    return HttpResponseRedirect(reverse("admin:derive_job_change", args=(answer.job_id,)))


def _previewed(request: HttpRequest, form: JobForm, job: JobInput) -> HttpResponse:
    try:
        return _page(request, form, preview=preview_job(job))
    except (RunError, LakeError, LakeUnavailable, ConfigurationError) as error:
        kind = f"{error.kind}: " if isinstance(error, RunError) else ""
        return _page(request, form, problems=(f"A run would end with {kind}{error}",), status=400)


def _page(
    request: HttpRequest,
    form: JobForm,
    *,
    problems: tuple[str, ...] = (),
    preview: Preview | None = None,
    holder: Enqueued | None = None,
    wants_more: bool = False,
    repeated: Job | None = None,
    status: int = 200,
) -> HttpResponse:
    models = model_choices()
    return show(
        request,
        "admin/jobs/enqueue.html",
        status=status,
        title="Enqueue",
        form=form,
        evidence=evidence_forms(pieces=form.evidence, extra=2 if wants_more else int(not form.evidence)),
        interrogations=sorted({one.key for one in registry().all()}),
        models=models,
        missing_model=preview.model if preview and models.lack(preview.model) else "",
        problems=[cell(one, 600) for one in problems],
        preview=preview,
        holder=holder,
        repeated=repeated,
    )
