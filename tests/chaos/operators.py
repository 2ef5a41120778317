"""Operators who act on whatever is there, and reapers who come at the same moment; all by ``derive.queue``."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from random import Random
from typing import Any

from derive.contracts import JobChange, JobRef
from derive.errors import DatabaseUnavailable
from derive.models import Job
from derive.queue import JobQueue
from derive.sql.reading import reading
from derive.states import ENDED, REQUEUEABLE, WAITING, JobStatus
from derive.worker.options import started_now
from tests.chaos.ledger import Ledger
from tests.chaos.plan import Fault
from tests.chaos.promises import Violation
from tests.chaos.traffic import a_job, a_key, until_answered

ACTOR = "ada"
REASON = "chaos"
AT_ONCE = 3
LOOKED_AT = 200
"""Jobs, the youngest of their states, that an operator chooses from."""


class Operators:
    """Acts on threads of their own, so that nothing waits for an operator whom the database does not answer."""

    def __init__(self, rng: Random, ledger: Ledger) -> None:
        self.violations: list[Violation] = []
        self._rng = rng
        self._ledger = ledger
        self._threads = ThreadPoolExecutor(2 * AT_ONCE, thread_name_prefix="operator")
        self._acts: dict[Fault, Callable[[], object]] = {
            Fault.CANCEL: self._cancel,
            Fault.REQUEUE: self._requeue,
            Fault.REPRIORITISE: self._reprioritise,
            Fault.RESCHEDULE: self._reschedule,
            Fault.HOLD: self._hold,
            Fault.REAP_TWICE: self._reap,
            Fault.DUPLICATES: self._queue_one_key,
        }
        self._at_once = {Fault.REAP_TWICE: 2, Fault.DUPLICATES: AT_ONCE}

    def can(self, fault: Fault) -> bool:
        return fault in self._acts

    def act(self, fault: Fault) -> None:
        """Have it done, by several at the same moment where that is the point."""
        several = self._at_once.get(fault, 1)
        start = threading.Barrier(several)
        for _ in range(several):
            self._threads.submit(self._do, fault, start).add_done_callback(self._note)

    def end(self) -> None:
        self._threads.shutdown()

    def _do(self, fault: Fault, start: threading.Barrier) -> None:
        with suppress(threading.BrokenBarrierError):
            start.wait(2)
        # An operator who is not answered gives up; a job that was queued must be known to have been.
        with suppress(DatabaseUnavailable):
            self._acts[fault]()

    def _note(self, future: "Future[None]") -> None:
        error = future.exception()
        if error is not None:
            self.violations.append(Violation("the queue answers its callers", f"{type(error).__name__}: {error}"))

    def _some(self, statuses: frozenset[JobStatus]) -> list[JobRef]:
        found = reading(
            lambda: list(
                Job.objects.filter(status__in=statuses)
                .order_by("-job_seq")
                .values_list("job_id", flat=True)[:LOOKED_AT]
            )
        )
        return [JobRef(job_id=job_id) for job_id in self._rng.sample(found, min(len(found), self._rng.randint(1, 5)))]

    def _cancel(self) -> Sequence[JobChange]:
        return JobQueue().cancel(self._some(WAITING | {JobStatus.RUNNING}), **_signed())

    def _requeue(self) -> Sequence[JobChange]:
        return JobQueue().requeue(self._some(REQUEUEABLE), **_signed())

    def _reprioritise(self) -> Sequence[JobChange]:
        return JobQueue().reprioritize(self._some(WAITING), priority=self._rng.randrange(300), **_signed())

    def _reschedule(self) -> Sequence[JobChange]:
        when = started_now() + timedelta(seconds=self._rng.uniform(-5, 5))
        return JobQueue().reschedule(self._some(WAITING), available_utc=when, **_signed())

    def _hold(self) -> Sequence[JobChange]:
        return JobQueue().set_hold(self._some(ENDED), hold=self._rng.random() < 0.5, **_signed())

    def _reap(self) -> object:
        return JobQueue().reap(actor=ACTOR)

    def _queue_one_key(self) -> None:
        job = a_job(self._rng, dedupe_key=a_key(self._rng))
        queue = JobQueue()
        self._ledger.note(job.dedupe_key, until_answered(lambda: queue.enqueue(job, actor=ACTOR)))


def _signed() -> dict[str, Any]:
    return {"actor": ACTOR, "reason": REASON}
