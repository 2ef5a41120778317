"""The options of ``enqueue_jobs`` that make a batch: read and checked before anything is queued."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from derive.batch_contracts import BatchInput, FollowUp
from derive.intake.checking import RecordCheck, RecordRefused
from derive.intake.importing import new_import_id
from derive.interrogations.registry import Registry
from derive.queue import JobQueue

MAX_BYTES = 64 * 1024 * 1024
"""The largest file for ``--on-finish``: its jobs are held in memory, and in the batch's row."""


class BatchOptionsRefused(Exception):
    """The options make no batch; the message is the line the user sees."""


@dataclass
class BatchOptions:
    """The batch that a call names, if any."""

    batch: BatchInput | None
    keep_open: bool
    batch_id: UUID | None = None

    @classmethod
    def read(cls, given: dict[str, Any], registry: Registry) -> "BatchOptions":
        """Return the options; raise BatchOptionsRefused, and OSError for a file that cannot be read."""
        name, file = given["batch"], given["on_finish"]
        budgets = {key: given[key] for key in ("budget_tokens", "budget_model_seconds") if given[key] is not None}
        if name is None:
            if budgets or file or given["keep_open"]:
                raise BatchOptionsRefused("--budget-…, --on-finish and --keep-open need --batch")
            return cls(batch=None, keep_open=False)
        try:
            follow_up = _follow_up(_object(file), registry) if file else None
            batch = BatchInput(name=name.strip(), on_finish=follow_up, **budgets)
        except ValidationError as error:
            raise BatchOptionsRefused(_first(error)) from error
        except RecordRefused as refused:
            raise BatchOptionsRefused(f"{file}: {refused}") from refused
        return cls(batch=batch, keep_open=given["keep_open"])

    def open(self, queue: JobQueue, actor: str | None) -> UUID | None:
        """Open the batch, if there is one to open; return its id."""
        if self.batch is not None:
            self.batch_id = queue.open_batch(self.batch, actor=actor).batch_id
        return self.batch_id

    def fill(self, queue: JobQueue, actor: str | None) -> None:
        """Say that all jobs are queued, unless more are to come."""
        if self.batch_id is not None and not self.keep_open:
            queue.fill_batch(self.batch_id, actor=actor or "enqueue_jobs")

    def told(self) -> dict[str, str]:
        """Return what the command's JSON says of the batch."""
        return {"batch_id": str(self.batch_id)} if self.batch_id else {}


def _object(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise BatchOptionsRefused(f"{file}: larger than {MAX_BYTES // 1024 // 1024} MB")
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BatchOptionsRefused(f"{file}: not JSON") from error
    if not isinstance(value, dict):
        raise BatchOptionsRefused(f"{file}: not an object")
    return value


def _follow_up(value: dict[str, Any], registry: Registry) -> FollowUp:
    """Return a continuation whose jobs fit the registry and their contracts, as the lines of a file do."""
    members = dict(value)
    jobs = members.pop("jobs", None)
    if not isinstance(jobs, list) or not all(isinstance(job, dict) for job in jobs):
        raise RecordRefused('"jobs" is not an array of objects')
    following = members.pop("on_finish", None)
    if following is not None and not isinstance(following, dict):
        raise RecordRefused('"on_finish" is not an object')
    check = RecordCheck(registry, import_id=new_import_id())
    return FollowUp(
        jobs=tuple(check.check(job, line=number).job for number, job in enumerate(jobs, start=1)),
        on_finish=None if following is None else _follow_up(following, registry),
        **members,
    )


def _first(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
