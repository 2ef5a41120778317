"""Live parts of the job pages: what a poll reads, and whether anything changed since the last one.

A poll says which answer it has (``If-None-Match``) and gets 304 while that is current. The list's tag follows from the
newest events, since every change of a job leaves one; the page of a job is small enough to be read each time.
"""

from dataclasses import dataclass

from django.utils import timezone

from derive.admin.display.units import duration
from derive.admin.lists.live_answer import REFRESH_SECONDS, answer
from derive.models import Job, JobEvent
from derive.plural import plural
from derive.sql.queue_status import read_queue_status
from derive.states import JobStatus

__all__ = ["REFRESH_SECONDS", "QueuePlace", "answer", "place_of", "queue_version"]

NEWEST_EVENTS = 50
"""Events are numbered before they are committed: one that comes late is still among so many."""
MAX_PLACE = 1_000


@dataclass(frozen=True)
class QueuePlace:
    """Where a ready job is in the queue: how many are claimed before it, and in how many seconds it should start."""

    ahead: int | None
    """None: more than ``MAX_PLACE``."""
    starts_in_seconds: float | None
    """At the rate of the last minutes, whatever model each job asks for; None while no job ends."""

    @property
    def in_words(self) -> str:
        """Say the place and the expected start."""
        if self.ahead is None:
            place = f"More than {MAX_PLACE:,} jobs are ahead in the queue"
        else:
            place = f"{plural(self.ahead, 'job')} ahead in the queue" if self.ahead else "Next in the queue"
        if self.starts_in_seconds is None:
            return f"{place}. No job has ended in the last 5 minutes, so its start is unknown: is a worker running?"
        if not self.starts_in_seconds:
            return f"{place}."
        about = "more than" if self.ahead is None else "about"
        return f"{place}; expected to start in {about} {duration(self.starts_in_seconds)}."


def place_of(job: Job) -> QueuePlace | None:
    """Return a ready job's place, None for any other; two statements, each of a bounded range of an index."""
    if job.status != JobStatus.NEW:
        return None
    ready = Job.objects.filter(status=JobStatus.NEW).order_by("-priority", "available_utc", "job_seq")
    first = list(ready.values_list("job_seq", flat=True)[: MAX_PLACE + 1])
    ahead = first.index(job.job_seq) if job.job_seq in first else None
    rate = read_queue_status((), now=timezone.now()).ended_per_second
    seconds = (MAX_PLACE if ahead is None else ahead) / rate if rate else None
    return QueuePlace(ahead, seconds)


def queue_version() -> str:
    """Return a text that changes whenever any job does; one statement."""
    newest = JobEvent.objects.order_by("-event_seq").values_list("event_seq", flat=True)[:NEWEST_EVENTS]
    return ",".join(map(str, newest))
