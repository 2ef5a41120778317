"""The JSON parameters of procedures: arrays of objects whose members are named after columns."""

import json
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID, uuid4

from pydantic import TypeAdapter

from derive.batch_contracts import FollowUp
from derive.contracts import (
    ANY_MODEL,
    ArtifactFacts,
    DeletionTry,
    EndpointFacts,
    FactDecision,
    JobInput,
    JobRef,
    JudgedFact,
    ModelServer,
    RunFacts,
    ServedModel,
    WorkerFacts,
)
from derive.golden_contracts import CaseInput
from derive.split_contracts import PartInput
from derive.states import JobStatus

_GUIDS = TypeAdapter(list[UUID])
_REFS = TypeAdapter(list[JobRef])
_ARTIFACTS = TypeAdapter(tuple[ArtifactFacts, ...])
_FACTS = TypeAdapter(list[JudgedFact])
_DECISIONS = TypeAdapter(list[FactDecision])
_PARTS = TypeAdapter(tuple[PartInput, ...])
_TRIES = TypeAdapter(list[DeletionTry])
_ENDPOINTS = TypeAdapter(tuple[EndpointFacts, ...])
_SERVED = TypeAdapter(tuple[ServedModel, ...])
_ANY = (ServedModel(model=ANY_MODEL),)
"""What a server that names the model it serves can serve anyway."""


def jobs_json(jobs: Iterable[JobInput], *, first_n: int = 0) -> str:
    """Return the array for ``usp_enqueue_jobs``; ``n`` counts from ``first_n``.

    A job without a ``job_id`` gets one here, so that the call can be retried if its answer is lost. The members ``n``
    and ``job_id`` are prepended to Pydantic's output, because building a dict per job would take four times as long.
    """
    elements = []
    for n, job in enumerate(jobs, start=first_n):
        members = job.model_dump_json(exclude_none=True)[1:]
        identity = "" if job.job_id else f'"job_id":"{uuid4()}",'
        elements.append(f'{{"n":{n},{identity}{members}')
    return f"[{','.join(elements)}]"


def follow_up_json(follow_up: FollowUp) -> str:
    """Return what ``usp_open_batch`` takes as ``on_finish_json``."""
    members = [f'"jobs":{jobs_json(follow_up.jobs)}']
    members += [
        f'"{name}":{json.dumps(value)}'
        for name in ("name", "budget_tokens", "budget_model_seconds")
        if (value := getattr(follow_up, name)) is not None
    ]
    if follow_up.on_finish is not None:
        members.append(f'"on_finish":{follow_up_json(follow_up.on_finish)}')
    return f"{{{','.join(members)}}}"


def refs_json(refs: Sequence[JobRef]) -> str:
    """Return the array that the operators' procedures take."""
    return _REFS.dump_json(list(refs), exclude_none=True).decode()


def server_arguments(server: ModelServer) -> dict[str, Any]:
    """Return the arguments of a claim that describe its model server, without those that add nothing."""
    arguments: dict[str, Any] = {"default_model": server.default, "stay": server.stay}
    if server.serving is not None:
        arguments["serving_model"] = server.serving
    if server.models is not None and not (server.serving is not None and server.models == _ANY):
        arguments["models_json"] = _SERVED.dump_json(server.models, exclude_none=True).decode()
    return arguments


def worker_arguments(facts: WorkerFacts) -> dict[str, Any]:
    """Return the arguments of a heartbeat that report the status of the worker and its model servers."""
    arguments = {name: getattr(facts, name) for name in WorkerFacts.model_fields if name != "endpoints"}
    if facts.endpoints is not None:
        arguments["endpoints_json"] = _ENDPOINTS.dump_json(facts.endpoints, exclude_none=True).decode()
    return arguments


def run_ids_json(run_ids: Iterable[UUID]) -> str:
    """Return the array of guids that a heartbeat takes."""
    return _GUIDS.dump_json(list(run_ids)).decode()


def run_json(run: RunFacts) -> str:
    """Return the known columns of a run; the ``*_json`` members are strings that contain JSON."""
    return run.model_dump_json(exclude_none=True)


def artifacts_json(artifacts: tuple[ArtifactFacts, ...]) -> str:
    """Return the array of a run's artifacts."""
    return _ARTIFACTS.dump_json(artifacts).decode()


def parts_json(parts: tuple[PartInput, ...]) -> str:
    """Return the array of a job's parts."""
    return _PARTS.dump_json(parts).decode()


def facts_json(facts: Sequence[JudgedFact]) -> str:
    """Return the array of a run's facts."""
    return _FACTS.dump_json(list(facts), exclude_none=True).decode()


def decisions_json(decisions: Sequence[FactDecision]) -> str:
    """Return the array of reviewers' decisions."""
    return _DECISIONS.dump_json(list(decisions), exclude_none=True).decode()


def cases_json(cases: Iterable[CaseInput]) -> str:
    """Return the array of golden cases; ``n`` counts from 0."""
    elements = [f'{{"n":{n},{case.model_dump_json(exclude_none=True)[1:]}' for n, case in enumerate(cases)]
    return f"[{','.join(elements)}]"


def statuses_json(statuses: Iterable[JobStatus]) -> str:
    """Return the array of states that a purge takes."""
    return json.dumps([status.value for status in statuses])


def deletions_json(tries: Sequence[DeletionTry]) -> str:
    """Return the array of attempts to delete purged files."""
    return _TRIES.dump_json(list(tries), exclude_none=True).decode()
