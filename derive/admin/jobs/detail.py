"""The page of one job: its history, what the model was asked, and its answer beside the evidence."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.http import HttpRequest

from derive.admin.display.lake_files import FileText, raw_answer, read_shown
from derive.admin.display.units import duration
from derive.admin.display.untrusted_text import cell, pretty, visible
from derive.admin.jobs.answer import answer_of
from derive.admin.jobs.fixes import fix_for
from derive.admin.jobs.live import place_of
from derive.admin.jobs.parts import progress_of
from derive.admin.jobs.unfinished_answer import unfinished_answer
from derive.admin.lists.golden_offer import golden_offer
from derive.admin.site import permissions
from derive.models import Artifact, Job, JobEvent, Run
from derive.states import LIVE, REQUEUEABLE, JobStatus, RunStatus

MAX_EVENTS = 300
MAX_RUNS = 50
READ = ("evidence_bundle", "prompt_text", "response_json", "validation_report", "correction")


@dataclass(frozen=True)
class TimelineEntry:
    """An event, and the time since the one before it."""

    event: JobEvent
    after: str
    reason: str
    detail: str


def moving_context(request: HttpRequest, job: Job) -> dict[str, Any]:
    """Return the template context for what moves while a job does.

    That is its state, its place in the queue, its history, its attempts, and the answer that is being written.
    """
    runs = list(Run.objects.filter(job_id=job.job_id).order_by("-attempt")[:MAX_RUNS])
    sees_payloads = permissions.may(request, permissions.SEE_PAYLOADS)
    context: dict[str, Any] = {
        "job": job,
        "entity": cell(" ".join(part for part in (job.entity_type, job.entity_id) if part), 300),
        "runs": [
            (run, _message_of(run, earlier=runs[place:]), visible(run.error or "", 4_000) if sees_payloads else "")
            for place, run in enumerate(runs, start=1)
        ],
        "moments": _moments(job),
        "place": place_of(job),
        "progress": progress_of([job]).get(job.job_id),
        "is_moving": job.status in LIVE,
        "fix": fix_for(job.error_kind) if job.status in REQUEUEABLE else None,
        "may_copy": sees_payloads and permissions.may(request, permissions.ACT_ON_JOBS),
        "sees_payloads": sees_payloads,
    }
    if sees_payloads:
        context |= {
            "last_error": visible(job.last_error or "", 4_000),
            "run": _chosen(runs, request.GET.get("run", "")),
            "unfinished": unfinished_answer(runs[0]) if runs and job.status == JobStatus.RUNNING else None,
        }
    return context


def version_of(context: dict[str, Any]) -> str:
    """Return a text that changes whenever a moving context does."""
    job, place, progress = context["job"], context["place"], context["progress"]
    # The lease is renewed all the time and not shown.
    values = [getattr(job, field.attname) for field in job._meta.concrete_fields if field.name != "lease_expires_utc"]  # noqa: SLF001 (Django's own word)
    events = [moment.event.event_seq for moment in context["moments"][-1:]]
    runs = [(run.run_id, run.status) for run, _told, _error in context["runs"]]
    unfinished = context.get("unfinished")
    written = unfinished and unfinished.byte_count
    return repr((values, events, len(context["moments"]), runs, place and place.in_words, progress, written))


def job_context(request: HttpRequest, job: Job) -> dict[str, Any]:
    """Return the template context for a job; payloads only for users who may see them."""
    context = moving_context(request, job)
    if context["sees_payloads"]:
        context |= {"input": pretty(job.input_json), "evidence_ref": pretty(job.evidence_ref_json or "")}
        if run := context["run"]:
            context |= _payloads(run, wanted=request.GET.get("fact", ""))
            if run.status == RunStatus.SUCCEEDED:
                key = job.interrogation_key
                context["golden"] = golden_offer(request, run.run_id, interrogation_key=key, of=job.entity_id)
    return context


def _moments(job: Job) -> list[TimelineEntry]:
    events = list(JobEvent.objects.filter(job_id=job.job_id).order_by("-event_seq")[:MAX_EVENTS])[::-1]
    moments = []
    for place, event in enumerate(events):
        after = _spoken(event.at_utc - events[place - 1].at_utc) if place else ""
        moments.append(TimelineEntry(event, after, cell(event.reason, 500), cell(event.detail_json, 300)))
    return moments


def _message_of(run: Run, *, earlier: Sequence[Run]) -> str:
    """Describe who ran it and what it cost, as far as known, and whether the model changed since ``earlier`` runs."""
    # A run's model is recorded only once it has ended.
    unasked = "" if run.status == RunStatus.RUNNING else "no model was asked, "
    parts = [f"{f'{cell(run.model_name)} ' if run.model_name else unasked}on {cell(run.worker_id)}"]
    if run.ollama_base_url:
        parts[0] += f", answered by {cell(run.ollama_base_url)}"
    if run.model_digest:
        parts.append(f"digest {cell(run.model_digest[:12])}")
        asked_alike = (run.model_name, run.model_tag, run.ollama_base_url)
        before = (
            one.model_digest
            for one in earlier
            if one.model_digest and (one.model_name, one.model_tag, one.ollama_base_url) == asked_alike
        )
        digest = next(before, run.model_digest)
        if digest != run.model_digest:
            parts[-1] += f", not {cell(digest[:12])} as before: the server changed its model"
    if run.prompt_tokens is not None and run.output_tokens is not None:
        parts.append(f"{run.prompt_tokens:,} tokens in, {run.output_tokens:,} out")
    if run.total_ms is not None:
        parts.append(f"{duration(run.total_ms / 1000)} in total")
    return "; ".join(parts)


def _spoken(span: timedelta) -> str:
    seconds = span.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _chosen(runs: list[Run], wanted: str) -> Run | None:
    """Return the requested run, otherwise the one that succeeded, otherwise the last."""
    succeeded = [run for run in runs if run.status == "SUCCEEDED"]
    named = [run for run in runs if str(run.run_id) == wanted]
    return next(iter([*named, *succeeded, *runs]), None)


def _payloads(run: Run, *, wanted: str) -> dict[str, Any]:
    artifacts = {artifact.artifact_type: artifact for artifact in Artifact.objects.filter(run_id=run.run_id)}
    files = {name: read_shown(artifacts[name]) for name in READ if name in artifacts}
    raw = raw_answer(files.get("response_json", FileText()).text)
    # A failed run has no output, so its raw answer is shown against the evidence.
    answer = run.output_json or raw
    return {
        "run": run,
        "artifacts": list(artifacts.values()),
        "faults": [visible(file.fault, 500) for file in files.values() if file.fault],
        "prompt": visible(files.get("prompt_text", FileText()).text),
        "raw_answer": visible(raw),
        "output": pretty(run.output_json or ""),
        "correction": pretty(files.get("correction", FileText()).text),
        "validation": pretty(files.get("validation_report", FileText()).text),
        "answer": answer_of(
            run.run_id,
            _parsed(answer),
            _parsed(files.get("evidence_bundle", FileText()).text),
            wanted=int(wanted) if re.fullmatch("[0-9]{1,6}", wanted) else 0,
        ),
    }


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
