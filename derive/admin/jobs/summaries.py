"""What the list says of each job's answer: the model that gave it, how many facts, and the first of them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import OuterRef, Subquery

from derive.admin.display.untrusted_text import cell
from derive.models import Fact, FactSet, Job, Run
from derive.states import JobStatus, RunStatus

FACTS_SHOWN = 2
VALUE_CHARACTERS = 60


@dataclass(frozen=True)
class AnswerSummary:
    """A succeeded job's answer: its model, its number of facts (None: none are stored), and the first facts."""

    model: str
    fact_count: int | None
    facts: tuple[tuple[str, str], ...]
    """Key and value, sanitised for display."""


def summarise(jobs: Sequence[Job]) -> dict[UUID, AnswerSummary]:
    """Return the summary of each job that succeeded, by its id; at most two statements, each by key."""
    ended = [job.job_id for job in jobs if job.status == JobStatus.SUCCEEDED]
    if not ended:
        return {}
    count = FactSet.objects.filter(run_id=OuterRef("run_id")).values("fact_count")[:1]
    runs = Run.objects.filter(job_id__in=ended, status=RunStatus.SUCCEEDED).annotate(fact_count=Subquery(count))
    answered: dict[UUID, Any] = {run.job_id: run for run in runs.only("run_id", "job_id", "model_name")}
    run_ids = [run.run_id for run in answered.values()]
    facts: dict[UUID, list[tuple[str, str]]] = defaultdict(list)
    first = Fact.objects.filter(run_id__in=run_ids, fact_index__lt=FACTS_SHOWN).order_by("fact_index")
    for run_id, key, value in first.values_list("run_id", "fact_key", "value"):
        facts[run_id].append((cell(key or "", VALUE_CHARACTERS), cell(value or "", VALUE_CHARACTERS)))
    return {
        job_id: AnswerSummary(run.model_name or "", run.fact_count, tuple(facts[run.run_id]))
        for job_id, run in answered.items()
    }
