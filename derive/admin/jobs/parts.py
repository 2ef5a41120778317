"""Jobs in parts on pages: how many parts have an answer, and where the others are."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Count

from derive.models import Job
from derive.states import ENDED, JobStatus


@dataclass(frozen=True)
class PartsProgress:
    """The parts of a job by state."""

    states: dict[JobStatus, int]

    @property
    def total(self) -> int:
        """All its parts."""
        return sum(self.states.values())

    @property
    def ended(self) -> int:
        """Parts that have ended, whether they have an answer or not."""
        return sum(amount for status, amount in self.states.items() if status in ENDED)

    @property
    def unread(self) -> int:
        """Parts that ended without an answer: their evidence was not read."""
        return self.ended - self.states.get(JobStatus.SUCCEEDED, 0)

    @property
    def in_words(self) -> str:
        """Say how far it is: ``17 of 42 parts``."""
        failed = f", {self.unread:,} without an answer" if self.unread else ""
        return f"{self.ended:,} of {self.total:,} parts{failed}"


def progress_of(jobs: Sequence[Any]) -> dict[UUID, PartsProgress]:
    """Return the progress of those jobs that have parts; one query for all, none if there are none."""
    split = [job.job_id for job in jobs if job.part_count is not None and job.parent_job_id is None]
    if not split:
        return {}
    counted: dict[UUID, Counter[JobStatus]] = {job_id: Counter() for job_id in split}
    rows = Job.objects.filter(parent_job_id__in=split).order_by().values_list("parent_job_id", "status")
    for parent, status, amount in rows.annotate(amount=Count("status")):
        counted[parent][JobStatus(status)] += amount
    return {
        job_id: PartsProgress({status: states[status] for status in JobStatus if states[status]})
        for job_id, states in counted.items()
    }
