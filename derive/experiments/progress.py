"""How far an experiment's jobs have come."""

from dataclasses import dataclass
from functools import partial

from django.db.models import Count

from derive.experiments.opening import is_filled, variants_of
from derive.models import Experiment, Job
from derive.sql.reading import reading
from derive.states import ENDED, JobStatus


@dataclass(frozen=True, slots=True)
class Progress:
    """All jobs of an experiment, those that are queued (and not purged) and those that have ended.

    ``is_filled``: no more of them will be queued.
    """

    jobs: int
    queued: int
    ended: int
    failed: int
    is_filled: bool

    @property
    def is_done(self) -> bool:
        """Whether no job is left that could still answer; what was cancelled or purged will not."""
        return self.is_filled and self.ended >= self.queued


def progress_of(experiment: Experiment) -> Progress:
    """Return an experiment's progress; raises QueueError."""
    jobs = experiment.cases * len(variants_of(experiment)) * experiment.repeats
    if experiment.scored_utc is not None:
        return Progress(jobs, jobs, jobs, 0, is_filled=True)
    # Before the jobs: once it is filled, all of them are there.
    filled = is_filled(experiment)
    rows = Job.objects.filter(batch_id=experiment.batch_id).values_list("status").annotate(amount=Count("job_id"))
    counts: dict[str, int] = dict(reading(partial(list, rows.order_by())))
    return Progress(
        jobs=jobs,
        queued=sum(counts.values()),
        ended=sum(amount for status, amount in counts.items() if status in ENDED),
        failed=sum(amount for status, amount in counts.items() if status in ENDED and status != JobStatus.SUCCEEDED),
        is_filled=filled,
    )
