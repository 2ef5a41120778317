"""Selects the answers of a report, and writes a section for each."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC
from typing import Any
from uuid import UUID

from derive.fact_report.document import ReportDocument, RunSection
from derive.fact_report.reading import facts_of_run
from derive.fact_report.shown import show_facts
from derive.fact_report.stored import RunEvidence, StoredFact, read_evidence
from derive.fact_report.unread import unread_in_words
from derive.lake import Lake
from derive.models import Artifact, FactSet, Run
from derive.plural import plural
from derive.sql.reading import reading
from derive.states import RunStatus

MAX_FACTS = 1_000
"""Facts per answer: each is marked in the evidence, and a thousand may overlap."""
_BATCH_RUNS = 500
_RUN_COLUMNS = (
    *("run_id", "job_id", "interrogation_version", "model_name", "model_tag", "completed_utc"),
    *("job__interrogation_key", "job__entity_type", "job__entity_id"),
)


@dataclass(frozen=True)
class ReportSelection:
    """Answers of these jobs, about these entities (type and id), or to this interrogation; exactly one of the three.

    Facts superseded by newer answers over the same evidence are left out, except for named jobs.
    """

    jobs: tuple[UUID, ...] = ()
    entities: tuple[tuple[str, str], ...] = ()
    interrogation: str = ""
    with_superseded: bool = False

    @property
    def title(self) -> str:
        """The report's title."""
        if self.interrogation:
            return f"Facts of {self.interrogation}"
        if self.entities:
            count = len(self.entities)
            return f"Facts about {' '.join(self.entities[0]) if count == 1 else f'{count:,} entities'}"
        return f"Facts of job {self.jobs[0]}" if len(self.jobs) == 1 else f"Facts of {plural(len(self.jobs), 'job')}"

    def run_ids(self) -> Iterator[UUID]:
        """Yield the runs with stored facts: in the order of the named jobs or entities, otherwise newest first."""
        for job_id in self.jobs:
            runs = Run.objects.filter(job_id=job_id, status=RunStatus.SUCCEEDED.value)
            yield from reading(lambda runs=runs: list(runs.values_list("run_id", flat=True)))  # type: ignore[misc]
        for entity_type, entity_id in self.entities:
            yield from _walked(entity_id=entity_id, entity_type=entity_type)
        if self.interrogation:
            yield from _walked(interrogation_key=self.interrogation)


def _walked(**conditions: str) -> Iterator[UUID]:
    """Yield the runs of matching fact sets, newest first, with one batch in memory."""
    below: dict[str, int] = {}
    while True:
        found = FactSet.objects.filter(fact_count__gt=0, **conditions, **below).order_by("-fact_set_seq")
        batch = reading(lambda found=found: list(found.values_list("fact_set_seq", "run_id")[:_BATCH_RUNS]))  # type: ignore[misc]
        yield from (run_id for _number, run_id in batch)
        if len(batch) < _BATCH_RUNS:
            return
        below = {"fact_set_seq__lt": batch[-1][0]}


def fill(document: ReportDocument, selection: ReportSelection, lake: Lake) -> None:
    """Add a section for each selected run that has facts; raises QueueError, LakeUnavailable."""
    takes_superseded = selection.with_superseded or bool(selection.jobs)
    for run_id in selection.run_ids():
        facts = reading(lambda run_id=run_id: facts_of_run(run_id, most=MAX_FACTS + 1))  # type: ignore[misc]
        if not takes_superseded:
            facts = [fact for fact in facts if fact.is_current]
        if facts:
            document.add(_section(run_id, facts, lake))


def _section(run_id: UUID, facts: list[StoredFact], lake: Lake) -> RunSection:
    row = reading(lambda: Run.objects.filter(run_id=run_id).values(*_RUN_COLUMNS).first()) or {}
    evidence = _evidence_of(run_id, lake)
    return RunSection(
        heading=" ".join(filter(None, (row.get("job__entity_type"), row.get("job__entity_id")))) or f"Run {run_id}",
        interrogation=" ".join(filter(None, (row.get("job__interrogation_key"), row.get("interrogation_version")))),
        lineage=tuple(_lineage(run_id, row)),
        marked=show_facts(facts[:MAX_FACTS], evidence.items),
        facts_left_out=_count(run_id) - MAX_FACTS if len(facts) > MAX_FACTS else 0,
        fault=evidence.fault,
        unread=unread_in_words(run_id, lake),
    )


def _lineage(run_id: UUID, row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "Model", ":".join(filter(None, (row.get("model_name"), row.get("model_tag"))))
    if ended := row.get("completed_utc"):
        yield "Ended", f"{ended.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    yield "Job", str(row.get("job_id", ""))
    yield "Run", str(run_id)


def _count(run_id: UUID) -> int:
    return reading(lambda: FactSet.objects.filter(run_id=run_id).values_list("fact_count", flat=True).first()) or 0


def _evidence_of(run_id: UUID, lake: Lake) -> RunEvidence:
    rows = Artifact.objects.filter(run_id=run_id, artifact_type="evidence_bundle")
    found = reading(lambda: rows.values_list("lake_uri", "content_sha256").first())
    if found is None:
        return RunEvidence(fault="No evidence is on record for this answer.")
    return read_evidence(lake, *found)
