"""When all faults are over: the queue is drained, and a worker is killed with nothing else going wrong."""

import time
from collections.abc import Callable
from datetime import timedelta
from random import Random
from uuid import UUID

from derive.contracts import JobInput, JobRef
from derive.models import Batch, Job, Run
from derive.queue import JobQueue
from derive.sql.reading import reading
from derive.states import LIVE, JobStatus, RunStatus
from derive.worker.options import started_now
from tests.chaos.appliers import Appliers
from tests.chaos.crew import CONCURRENCY, Crew
from tests.chaos.ledger import Ledger
from tests.chaos.model_faults import HELD_BACK, PASSAGE
from tests.chaos.traffic import ACTOR, a_job, until_answered
from tests.chaos.world import ChaosWorld
from tests.fake_ollama import Gate

DEADLINE_SECONDS = 90.0
LOOK_SECONDS = 0.1
TOP_PRIORITY = 1_000_000
LONG_AGO = timedelta(days=1)


class NotInTime(Exception):
    """Something that must come did not."""


class Aftermath:
    """What is done with a crew, to see that all is well again. Raises NotInTime."""

    def __init__(self, world: ChaosWorld, crew: Crew, ledger: Ledger, rng: Random) -> None:
        self._world = world
        self._crew = crew
        self._ledger = ledger
        self._rng = rng

    def finish(self, appliers: Appliers) -> None:
        """Apply the derivation until nothing is left, as its jobs end and make room."""
        self._wait(appliers.apply_to_the_end, "the derivation is applied to the end")

    def drain(self) -> None:
        """Make every waiting job ready, and wait until all have ended."""

        def has_ended() -> bool:
            waiting = _with_status(JobStatus.SCHEDULED)
            if waiting:
                refs = [JobRef(job_id=job_id) for job_id in waiting]
                until_answered(lambda: JobQueue().reschedule(refs, actor=ACTOR, available_utc=started_now() - LONG_AGO))
            return not waiting and not _with_status(*LIVE) and not _has_open_batch()

        self._wait(has_ended, "every job and every batch has ended")

    def see_everyone_work(self) -> None:
        """Wait until all the workers are there and have succeeded: none still waits for what was away."""
        since = started_now()

        def all_have() -> bool:
            if not _with_status(*LIVE):
                self._queue([a_job(self._rng) for _ in range(2 * CONCURRENCY * self._crew.size)])
            done = until_answered(
                lambda: reading(
                    lambda: set(
                        Run.objects.filter(status=RunStatus.SUCCEEDED, completed_utc__gte=since)
                        .values_list("worker_id", flat=True)
                        .distinct()
                    )
                )
            )
            ids = {self._crew.worker_id(place) for place, _ in self._crew.up}
            return len(ids) == self._crew.size and ids <= done

        self._wait(all_have, "every worker has succeeded with a job")

    def kill_one(self) -> None:
        """Kill the worker that holds the most of some jobs whose answers are held back."""
        gate = self._world.model_faults.gate = Gate()
        text = f"{PASSAGE} {HELD_BACK}."
        self._queue(
            [
                a_job(self._rng, text=text, priority=TOP_PRIORITY, max_attempts=3)
                for _ in range(CONCURRENCY * self._crew.size)
            ]
        )
        held: dict[int, int] = {}

        def somebody_holds_some() -> bool:
            held.update({place: _held_by(self._crew.worker_id(place)) for place, _ in self._crew.up})
            return any(held.values())

        self._wait(somebody_holds_some, "a worker holds a job")
        self._crew.kill(max(held, key=lambda place: held[place]))
        gate.open()

    def _queue(self, jobs: list[JobInput]) -> None:
        for answer in until_answered(lambda: JobQueue().enqueue_many(jobs, actor=ACTOR)):
            self._ledger.note(None, answer)

    def _wait(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                raise NotInTime(f"not within {DEADLINE_SECONDS:.0f} s: {what}")
            self._crew.tend()
            time.sleep(LOOK_SECONDS)


def _with_status(*statuses: JobStatus) -> list[UUID]:
    return until_answered(
        lambda: reading(lambda: list(Job.objects.filter(status__in=statuses).values_list("job_id", flat=True)))
    )


def _has_open_batch() -> bool:
    return until_answered(lambda: reading(Batch.objects.filter(is_watched=True).exists))


def _held_by(worker_id: str) -> int:
    running = Job.objects.filter(status=JobStatus.RUNNING, locked_by=worker_id, priority=TOP_PRIORITY)
    return until_answered(lambda: reading(running.count))
