"""Jobs that come all the time: good ones, bad ones, delayed ones, duplicates; each noted when the queue has it."""

import json
import threading
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar
from uuid import UUID

from django.db import connections

from derive.batch_contracts import BatchInput, FollowUp
from derive.contracts import Enqueued, JobInput
from derive.errors import DatabaseUnavailable
from derive.queue import JobQueue
from derive.states import JobStatus
from derive.worker.options import started_now
from tests.chaos.ledger import Ledger
from tests.chaos.model_faults import PASSAGE

KEY = "sw_entity_facts_v1"
ACTOR = "traffic"
MAX_BATCH = 12
WAITING_BOUND = 80
"""Ready jobs from which on no more are queued: what cannot be worked off now would only lengthen the draining."""
PAUSE_SECONDS = 0.25
AGAIN_SECONDS = 0.2
KEYS = 40
BATCHED = 0.3
"""The share of what is queued at once that is a batch, followed by a job."""

Result = TypeVar("Result")


def until_answered(call: Callable[[], Result]) -> Result:
    """Make a repeatable call until the database has answered it."""
    pause = threading.Event()
    while True:
        try:
            return call()
        except DatabaseUnavailable:
            pause.wait(AGAIN_SECONDS)


def a_job(rng: Random, *, text: str = PASSAGE, **values: Any) -> JobInput:
    """A job that a proper answer makes succeed."""
    evidence = [{"evidence_id": "e1", "source_uri": "urn:chaos:1", "text": text}]
    envelope = {"entity_type": "character", "entity_id": "tala-venn", "extra_params": {"evidence": evidence}}
    given = {"interrogation_key": KEY, "input_json": json.dumps(envelope), "job_id": UUID(int=rng.getrandbits(128))}
    return JobInput(**given | values)


def any_job(rng: Random) -> JobInput:
    """A job of any kind that comes in."""
    values: dict[str, Any] = {"priority": rng.choice((50, 100, 100, 200)), "max_attempts": rng.randint(1, 4)}
    lot = rng.random()
    if lot < 0.03:
        values["interrogation_key"] = "no_such_question"
    elif lot < 0.06:
        values["input_json"] = '{"entity_type": "weather"}'
    elif lot < 0.08:
        values["model_hint"] = "no-such-model"
    elif lot < 0.16:
        values["available_utc"] = started_now()
    elif lot < 0.30:
        values["dedupe_key"] = a_key(rng)
    return a_job(rng, **values)


def a_key(rng: Random) -> str:
    return f"key-{rng.randrange(KEYS)}"


class Traffic(threading.Thread):
    """Queues jobs until told to end; what it was about to queue then is queued still."""

    def __init__(self, rng: Random, ledger: Ledger, *, waiting: Callable[[], int]) -> None:
        super().__init__(name="traffic", daemon=True)
        self.error: BaseException | None = None
        self._rng = rng
        self._ledger = ledger
        self._waiting = waiting
        self._ending = threading.Event()

    def run(self) -> None:
        try:
            while not self._ending.wait(PAUSE_SECONDS * self._rng.uniform(0.3, 1.7)):
                if until_answered(self._waiting) < WAITING_BOUND:
                    self._queue_some([any_job(self._rng) for _ in range(self._rng.randint(1, MAX_BATCH))])
        except BaseException as error:  # noqa: BLE001 (raised again by the thread that asks)
            self.error = error
        finally:
            connections.close_all()

    def _queue_some(self, jobs: list[JobInput]) -> None:
        queue = JobQueue()
        batch_id = self._open_batch(queue) if self._rng.random() < BATCHED else None
        answers = until_answered(lambda: queue.enqueue_many(jobs, actor=ACTOR, batch_id=batch_id))
        for job, answer in zip(jobs, answers, strict=True):
            self._ledger.note(job.dedupe_key, answer)
        if batch_id is not None:
            until_answered(lambda: queue.fill_batch(batch_id, actor=ACTOR))

    def _open_batch(self, queue: JobQueue) -> UUID:
        batch_id, following = UUID(int=self._rng.getrandbits(128)), a_job(self._rng)
        batch = BatchInput(name=f"batch-{batch_id}", on_finish=FollowUp(jobs=(following,)))
        until_answered(lambda: queue.open_batch(batch, actor=ACTOR, batch_id=batch_id))
        # It comes when the batch has ended, which every batch does.
        assert following.job_id is not None
        self._ledger.note(None, Enqueued(job_id=following.job_id, is_duplicate=False, status=JobStatus.NEW))
        return batch_id

    def end(self) -> None:
        """End it; raise what it met."""
        self._ending.set()
        self.join()
        if self.error is not None:
            raise self.error
