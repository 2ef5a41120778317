"""Earlier runs: an output used as evidence, a report to correct by, everything needed to repeat a run.

Rows are read on the thread that owns the queue's connection; files on the caller's.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from pydantic import ValidationError

from derive.errors import EvidenceMissing, InvalidInput, LakeError, RunError
from derive.evidence.bundle import bundle_faults
from derive.evidence.contracts import EvidenceBundle
from derive.interrogations.definition import Correction, Definition
from derive.lake import Lake
from derive.model_servers.chat import ChatOptions
from derive.models import Artifact, Interrogation, Run
from derive.sql.reading import reading
from derive.states import RunStatus

log = logging.getLogger(__name__)
Result = TypeVar("Result")

MAX_FILE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class PreviousRun:
    """What an earlier run was asked, to repeat it; ``correction`` as it was sent."""

    definition: Definition
    bundle: EvidenceBundle
    options: ChatOptions
    model: str
    correction: Correction | None


class PreviousRuns:
    """Earlier runs by id. Every method may raise QueueError, mostly DatabaseUnavailable."""

    def __init__(self, lake: Lake, *, queue_thread: Executor) -> None:
        self._lake = lake
        self._queue_thread = queue_thread

    def output_of(self, run_id: UUID) -> str:
        """Return the validated output of a run; raise EvidenceMissing when there is none."""
        output = self._read(
            lambda: (
                Run.objects.filter(run_id=run_id, status=RunStatus.SUCCEEDED)
                .values_list("output_json", flat=True)
                .first()
            )
        )
        if not output:
            raise EvidenceMissing(f"run {run_id}, named as evidence, has no output")
        return str(output)

    def report_of(self, run_id: UUID) -> bytes | None:
        """Return a run's ``validation.json``; None if it is missing or unreadable."""
        try:
            return self._artifact(run_id, "validation_report")
        except (LakeError, RunError) as error:
            log.warning("run.report_unread", extra={"run_id": run_id, "error": str(error)})
            return None

    def to_repeat(self, run_id: UUID) -> PreviousRun:
        """Return what a run was asked; raise InvalidInput if too little of it is left."""
        run = self._read(lambda: Run.objects.filter(run_id=run_id).first())
        if run is None:
            raise InvalidInput(f"run {run_id}, which this job repeats, does not exist")
        stored = self._read(lambda: Interrogation.objects.filter(definition_sha256=run.definition_sha256).first())
        if stored is None or run.options_json is None or run.model_name is None:
            raise InvalidInput(f"run {run_id} ended before its prompt was built: there is nothing to repeat")
        definition = Definition(
            interrogation_key=stored.interrogation_key,
            version=stored.version,
            prompt_template=stored.prompt_template,
            output_schema_json=stored.output_schema_json,
            rubric=stored.rubric,
        )
        try:
            evidence = self._artifact(run_id, "evidence_bundle")
            correction = self._artifact(run_id, "correction")
            if evidence is None:
                raise InvalidInput(f"run {run_id} stored no evidence: there is nothing to repeat")
            bundle = EvidenceBundle.model_validate_json(evidence)
            faults = bundle_faults(bundle)
            if faults:
                raise InvalidInput(f"the evidence of run {run_id} has changed since it was stored: {faults[0]}")
            return PreviousRun(
                definition=definition,
                bundle=bundle,
                options=ChatOptions.model_validate_json(run.options_json),
                model=f"{run.model_name}:{run.model_tag}" if run.model_tag else run.model_name,
                correction=Correction.model_validate_json(correction) if correction is not None else None,
            )
        except LakeError as error:
            raise InvalidInput(f"run {run_id} cannot be repeated: {error}") from error
        except ValidationError as error:
            raise InvalidInput(f"run {run_id} left files that cannot be read: {error.error_count()} faults") from None

    def _artifact(self, run_id: UUID, artifact_type: str) -> bytes | None:
        uri = self._read(
            lambda: (
                Artifact.objects.filter(run_id=run_id, artifact_type=artifact_type)
                .values_list("lake_uri", flat=True)
                .first()
            )
        )
        return None if uri is None else self._lake.read(str(uri), max_bytes=MAX_FILE_BYTES)

    def _read(self, query: Callable[[], Result]) -> Result:
        return self._queue_thread.submit(reading, query).result()
