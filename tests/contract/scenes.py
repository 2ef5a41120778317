"""Short ways to the situations that the queue's promises speak of."""

import itertools
import json
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

from django.db import connection, connections, models

from derive.contracts import ArtifactFacts, Claim, Enqueued, JobInput, JobRef, JudgedFact, Outcome
from derive.errors import ErrorKind
from derive.models import Job, JobEvent, Run, Worker
from derive.queue import JobQueue
from derive.split_contracts import PartInput, Split
from derive.sql.calls import call
from derive.sql.fields import UtcField
from derive.sql.procedures import Procedure
from derive.states import JobStatus, RunStatus, Verdict

KEY = "sw_entity_facts_v1"
ACTOR = "ada"
WORKER = "worker-1"
THREAD_SECONDS = 60

T = TypeVar("T")

_ever_sooner = itertools.count(1_000_000)
"""Priorities for jobs that must be claimed next, whatever a test left waiting."""


def a_job(**values: Any) -> JobInput:
    return JobInput(**{"interrogation_key": KEY, "input_json": '{"entity_id": "luke"}', **values})


def queued(queue: JobQueue, **values: Any) -> Enqueued:
    return queue.enqueue(a_job(**values), actor=ACTOR)


def claimed(queue: JobQueue, **values: Any) -> Claim:
    """Queue a job and claim it (it must be the only one ready)."""
    queued(queue, **values)
    return claim_one(queue)


def claim_one(queue: JobQueue, worker_id: str = WORKER, **options: Any) -> Claim:
    (claim,) = queue.claim(worker_id, **options)
    return claim


def success(claim: Claim, **values: Any) -> Outcome:
    return Outcome(job_id=claim.job_id, run_id=claim.run_id, status=RunStatus.SUCCEEDED, **values)


def failure(claim: Claim, **values: Any) -> Outcome:
    facts = {"error": "it broke", "error_kind": ErrorKind.MODEL_CRASHED, **values}
    return Outcome(job_id=claim.job_id, run_id=claim.run_id, status=RunStatus.FAILED, **facts)


def cancelled(claim: Claim) -> Outcome:
    return Outcome(job_id=claim.job_id, run_id=claim.run_id, status=RunStatus.CANCELLED, error_kind=ErrorKind.CANCELLED)


def an_artifact(artifact_type: str = "prompt_text") -> ArtifactFacts:
    return ArtifactFacts(
        artifact_id=uuid4(),
        artifact_type=artifact_type,
        media_type="text/plain",
        content_sha256="ab" * 32,
        byte_count=12,
        lake_uri=f"llm_runs/2026/01/02/{uuid4()}/{artifact_type}",
    )


def judged(output: str) -> tuple[JudgedFact, ...]:
    """The objects of an answer's array ``facts``, each as if its quote supported it."""
    facts = json.loads(output).get("facts")
    return tuple(
        JudgedFact(
            fact_index=place,
            path=f"facts[{place}]",
            fact_key=_text(fact.get("fact_key")),
            value=_text(fact.get("value")),
            quote=_text(fact.get("quote")),
            evidence_ids=fact["evidence_ids"] if isinstance(fact.get("evidence_ids"), list) else None,
            confidence=fact["confidence"] if isinstance(fact.get("confidence"), int) else None,
            proof="quote",
            verdict=Verdict.SUPPORTED,
        )
        for place, fact in enumerate(facts if isinstance(facts, list) else [])
        if isinstance(fact, dict)
    )


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def job_of(thing: Enqueued | Claim | UUID) -> Any:
    return Job.objects.get(job_id=thing if isinstance(thing, UUID) else thing.job_id)


def run_of(claim: Claim) -> Any:
    return Run.objects.get(run_id=claim.run_id)


def status_of(thing: Enqueued | Claim | UUID) -> JobStatus:
    return JobStatus(job_of(thing).status)


def moves_of(thing: Enqueued | Claim) -> list[tuple[str, str | None, str]]:
    events = JobEvent.objects.filter(job_id=thing.job_id).order_by("event_seq")
    return [(event.event, event.from_status, event.to_status) for event in events]


def ref(thing: Enqueued | Claim, expected_status: JobStatus | None = None) -> JobRef:
    return JobRef(job_id=thing.job_id, expected_status=expected_status)


def in_state(queue: JobQueue, status: JobStatus, **values: Any) -> Enqueued:
    """Bring a new job into a state by the procedures alone."""
    if status is JobStatus.NEW:
        return queued(queue, **values)
    job = queued(queue, priority=next(_ever_sooner), **values)
    if status is JobStatus.SCHEDULED:
        queue.reschedule([ref(job)], actor=ACTOR, available_utc=job_of(job).available_utc + timedelta(days=1))
    elif status is JobStatus.CANCELLED:
        queue.cancel([ref(job)], actor=ACTOR)
    else:
        claim = claim_one(queue)
        assert claim.job_id == job.job_id
        if status is JobStatus.SUCCEEDED:
            queue.complete(success(claim))
        elif status is JobStatus.SPLIT:
            part = PartInput(part_no=1, evidence_ref_json="{}")
            split = Split(input_json="{}", parts=(part,))
            values = {"status": RunStatus.SPLIT, "split": split}
            queue.split(Outcome(job_id=claim.job_id, run_id=claim.run_id, **values), WORKER)
            assert claim_one(queue).parent_job_id == job.job_id
        elif status is JobStatus.FAILED:
            queue.complete(failure(claim))
        elif status is JobStatus.DEADLETTER:
            while queue.complete(failure(claim, retry_after_seconds=0)).final_status != JobStatus.DEADLETTER:
                claim = claim_one(queue)
    assert status_of(job) == status
    return job


def pass_time(seconds: float) -> None:
    """Let time pass: the moments of jobs, runs and workers move into the past.

    A worker's own start is an identity and stays; so do events, which tell of what was.
    """
    for model in (Job, Run, Worker):
        for row in model.objects.all():
            moments = [
                field
                for field in model._meta.concrete_fields
                if isinstance(field, UtcField) and getattr(row, field.attname) is not None
            ]
            if model is Worker:
                moments = [field for field in moments if field.name == "last_seen_utc"]
            _write(row, {field: getattr(row, field.attname) - timedelta(seconds=seconds) for field in moments})


def _write(row: models.Model, values: dict[Any, Any]) -> None:
    key = row._meta.pk
    assert key is not None
    settings = ", ".join(f"{field.column} = %s" for field in values)
    parameters = [field.get_db_prep_save(value, connection) for field, value in values.items()]
    # A worker beside the test may have changed the row since it was read: then it is left as it is.
    known = {key: row.pk} | {field: getattr(row, field.attname) for field in values}
    parameters += [field.get_db_prep_save(value, connection) for field, value in known.items()]
    condition = " AND ".join(f"{field.column} = %s" for field in known)
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE {row._meta.db_table} SET {settings} WHERE {condition}", parameters)


def said(procedure: Procedure, **arguments: Any) -> Sequence[tuple[Any, ...]]:
    """Call a procedure past the typed queue, as somebody's SQL would."""
    return call("default", procedure, arguments)


def at_once(*actions: Callable[[], T]) -> list[T]:
    """Run each action in a thread with a connection of its own, all let go at the same moment; return their answers."""
    start = threading.Barrier(len(actions))
    answers: dict[int, T] = {}
    errors: list[BaseException] = []

    def run(place: int, action: Callable[[], T]) -> None:
        try:
            connection.ensure_connection()
            start.wait(THREAD_SECONDS)
            answers[place] = action()
        except BaseException as error:  # noqa: BLE001 (raised again by the thread that asked)
            errors.append(error)
            start.abort()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(place, action)) for place, action in enumerate(actions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(THREAD_SECONDS)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]
    return [answers[place] for place in range(len(actions))]
