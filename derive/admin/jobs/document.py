"""The page of a long document: all evidence of a run with all its facts marked, and a map of where they are."""

from dataclasses import dataclass
from uuid import UUID

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from derive.admin.display.lake_files import lake
from derive.admin.display.untrusted_text import cell
from derive.admin.site import permissions
from derive.errors import LakeUnavailable
from derive.fact_report.long_text import MapCell, Piece, map_of, pieces_of
from derive.fact_report.marking import ProofPlace
from derive.fact_report.reading import placed_facts_of_run
from derive.fact_report.shown import show_facts
from derive.fact_report.stored import RunEvidence, read_evidence
from derive.models import Artifact, Job, Run
from derive.states import RunStatus

MAX_FACTS = 10_000
"""Facts of one answer that the database stores."""


@dataclass(frozen=True)
class MarkedDocument:
    """One item of evidence, whole; ``facts`` is how many are marked in it."""

    name: str
    source: str
    characters: int
    facts: int
    pieces: tuple[Piece, ...]
    cells: tuple[MapCell, ...]


def show(request: HttpRequest, key: UUID) -> HttpResponse:
    """Show the whole evidence of the run that answered a job."""
    permissions.demand(request, permissions.SEE_PAYLOADS)
    job = Job.objects.filter(job_id=key).first()
    run = Run.objects.filter(job_id=key, status=RunStatus.SUCCEEDED).first()
    if job is None:
        messages.warning(request, f"There is no job {key}: it may have been purged.")
        return redirect("admin:derive_job_changelist")
    if run is None:
        messages.warning(request, "This job has no answer yet, so there are no facts to show in its evidence.")
        return redirect("admin:derive_job_change", key)
    evidence = _evidence_of(run.run_id)
    facts = placed_facts_of_run(run.run_id, most=MAX_FACTS)
    places: dict[str, list[ProofPlace]] = {}
    for fact in facts:
        if fact.evidence_id is not None and fact.quote_start is not None and fact.quote_end is not None:
            place = ProofPlace(fact.fact_index, fact.quote_start, fact.quote_end, fact.verdict)
            places.setdefault(fact.evidence_id, []).append(place)
    context = {
        **admin.site.each_context(request),
        "title": f"Document of job {job.job_id}",
        "job": job,
        "run": run,
        "fault": evidence.fault,
        "facts": show_facts(facts, {}).facts,
        "documents": [
            MarkedDocument(
                name=cell(name, 100),
                source=cell(item.source, 200),
                characters=len(item.text),
                facts=len(places.get(name, ())),
                pieces=pieces_of(item.text, places.get(name, ())),
                cells=map_of(item.text, places.get(name, ())) if places.get(name) else (),
            )
            for name, item in evidence.items.items()
        ],
    }
    return render(request, "admin/jobs/document.html", context)


def _evidence_of(run_id: UUID) -> RunEvidence:
    artifact = Artifact.objects.filter(run_id=run_id, artifact_type="evidence_bundle").first()
    if artifact is None:
        return RunEvidence(fault="No evidence is on record for this answer.")
    try:
        return read_evidence(lake(), artifact.lake_uri, artifact.content_sha256)
    except LakeUnavailable as error:
        return RunEvidence(fault=f"The evidence cannot be read: {error}")
