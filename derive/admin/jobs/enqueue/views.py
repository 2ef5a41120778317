"""Enqueue: a form made from an interrogation's input contract, a preview of what would be asked, and the job."""

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid4, uuid5

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.urls import reverse

from derive.admin.display.untrusted_text import cell
from derive.admin.jobs.enqueue.evidence_formset import TypedEvidence, as_members, read_evidence
from derive.admin.jobs.enqueue.model_choices import model_choices
from derive.admin.jobs.enqueue.preview import Preview, preview_job
from derive.admin.jobs.enqueue.schema_form import EVIDENCE_MEMBER, InputForm, input_form, takes_evidence
from derive.admin.jobs.long_action import MAX_REASON
from derive.admin.lists.pages import show
from derive.admin.lists.query_params import as_guid, read_moment
from derive.admin.lists.suggestions import registry
from derive.admin.site import permissions
from derive.admin.site.timezones import as_typed, zone_of
from derive.contracts import Enqueued, JobInput
from derive.errors import ConfigurationError, LakeError, LakeUnavailable, QueueError, RunError
from derive.intake.checking import RecordCheck, RecordRefused
from derive.intake.importing import new_import_id
from derive.interrogations.interrogation import Interrogation
from derive.queue import JobQueue
from derive.strict_types import check_storable

SETTINGS = ("priority", "model_hint", "available", "max_attempts", "dedupe_key", "evidence_ref_json", "reason")
DEFAULTS = {"priority": "100", "max_attempts": "3"}


@dataclass(frozen=True)
class Form:
    """What stands in the form, and what is wrong with it."""

    interrogation: Interrogation
    input: InputForm
    evidence: list[TypedEvidence]
    typed: dict[str, str]
    job: JobInput | None = None
    problems: tuple[str, ...] = ()
    zone: str = ""
    """The zone in which its time was typed; empty: the viewer's."""

    @property
    def reason(self) -> str | None:
        """Why the job is queued, if that was said."""
        return self.typed["reason"] or None


def enqueue(request: HttpRequest) -> HttpResponse:
    """Show the form, what it would ask, or queue the job it describes."""
    permissions.demand(request, permissions.VIEW_JOBS, permissions.ACT_ON_JOBS)
    if request.method != "POST":
        return _page(request, _empty(request.GET))
    form = _read(request)
    step = request.POST.get("step", "")
    if step == "preview":
        permissions.demand(request, permissions.SEE_PAYLOADS)
        return _previewed(request, form)
    if step != "enqueue":
        # Another interrogation was chosen, or room for more evidence is wanted: nothing is judged yet.
        return _page(request, form, wants_more=step == "more")
    if form.job is None:
        return _page(request, form, problems=form.problems, status=400)
    try:
        answer = JobQueue().enqueue(form.job, actor=permissions.actor_of(request), reason=form.reason)
    except QueueError as error:
        return _page(request, form, problems=(str(error),), status=503)
    return _answered(request, form, answer)


def _answered(request: HttpRequest, form: Form, answer: Enqueued) -> HttpResponse:
    if answer.is_duplicate:
        return _page(request, form, holder=answer, status=409)
    messages.success(request, f"The job is queued ({answer.status}).")
    return HttpResponseRedirect(reverse("admin:derive_job_change", args=(answer.job_id,)))


def _previewed(request: HttpRequest, form: Form) -> HttpResponse:
    if form.job is None:
        return _page(request, form, problems=form.problems, status=400)
    try:
        return _page(request, form, preview=preview_job(form.job))
    except (RunError, LakeError, LakeUnavailable, ConfigurationError) as error:
        kind = f"{error.kind}: " if isinstance(error, RunError) else ""
        return _page(request, form, problems=(f"A run would end with {kind}{error}",), status=400)


def _empty(query: QueryDict) -> Form:
    interrogation = _chosen(query.get("interrogation", ""))
    typed = {name: DEFAULTS.get(name, "") for name in SETTINGS}
    return Form(interrogation, input_form(interrogation.input_model, QueryDict(), is_whole=False), [], typed)


def _chosen(key: str) -> Interrogation:
    """Return the interrogation that was asked for, else the first there is: the form then shows which."""
    try:
        return registry().get(key)
    except RunError:
        return registry().all()[0]


def _read(request: HttpRequest) -> Form:
    interrogation = _chosen(request.POST.get("interrogation", ""))
    # Before an interrogation is chosen, its input was not on the page.
    is_whole = request.POST.get("step") in {"more", "preview", "enqueue"}
    inputs = input_form(interrogation.input_model, request.POST, is_whole=is_whole)
    evidence, problems = read_evidence(request)
    typed = {name: request.POST.get(name, "").strip() for name in SETTINGS}
    form = Form(interrogation, inputs, evidence, typed, zone=zone_of(request.POST))
    if not is_whole:
        return form
    values, unread = inputs.read()
    problems += unread
    try:
        check_storable(typed["reason"])
        if len(typed["reason"]) > MAX_REASON:
            raise ValueError(f"is longer than {MAX_REASON} characters")
    except ValueError as error:
        problems.append(f"reason: {error}")
    job = None
    if not problems:
        try:
            with as_typed(request.POST):
                record = _record(form, values)
            job = RecordCheck(registry(), import_id=new_import_id()).check(record, line=1).job
            job = job.model_copy(update={"job_id": _job_id(request, job)})
        except (RecordRefused, ValueError) as error:
            problems.append(str(error))
    return replace(form, job=job, problems=tuple(problems))


def _record(form: Form, values: dict[str, Any]) -> dict[str, Any]:
    typed = form.typed
    references = typed["evidence_ref_json"] or None
    members = as_members(form.evidence)
    if takes_evidence(form.interrogation.input_model):
        more = values.get(EVIDENCE_MEMBER, {})
        values = {**values, EVIDENCE_MEMBER: {**(more if isinstance(more, dict) else {}), "evidence": members}}
    elif members and references:
        raise ValueError("evidence: give either texts or references; this interrogation's input carries no evidence")
    elif members:
        references = json.dumps({"items": members}, ensure_ascii=False)
    available = read_moment(typed["available"]) if typed["available"] else None
    if typed["available"] and available is None:
        raise ValueError("not before: is no time such as 2026-01-31T12:00")
    entity = {name: values[name] for name in ("entity_type", "entity_id") if isinstance(values.get(name), str)}
    return {
        "interrogation_key": form.interrogation.key,
        "input_json": json.dumps(values, ensure_ascii=False),
        "evidence_ref_json": references,
        "priority": typed["priority"] or None,
        "max_attempts": typed["max_attempts"] or None,
        "model_hint": typed["model_hint"] or None,
        "available_utc": available.isoformat() if available else None,
        "dedupe_key": typed["dedupe_key"] or None,
        **entity,
    }


def _job_id(request: HttpRequest, job: JobInput) -> UUID:
    """Return the id of this form with this content: sent twice it is one job, changed it is another."""
    form_id = as_guid(request.POST.get("form_id", "")) or uuid4()
    content = job.model_dump_json(exclude={"job_id"})
    return uuid5(form_id, f"{permissions.actor_of(request)} {hashlib.sha256(content.encode()).hexdigest()}")


def _page(
    request: HttpRequest,
    form: Form,
    *,
    problems: tuple[str, ...] = (),
    preview: Preview | None = None,
    holder: Enqueued | None = None,
    wants_more: bool = False,
    status: int = 200,
) -> HttpResponse:
    evidence = form.evidence + [TypedEvidence()] * (2 if wants_more else not form.evidence)
    return show(
        request,
        "admin/jobs/enqueue.html",
        status=status,
        title="Enqueue",
        form=form,
        evidence=evidence,
        interrogations=sorted({one.key for one in registry().all()}),
        models=model_choices(),
        form_id=as_guid(request.POST.get("form_id", "")) or uuid4(),
        problems=[cell(one, 600) for one in problems],
        preview=preview,
        holder=holder,
    )
