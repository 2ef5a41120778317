"""Earlier runs: an output used as evidence, a report to correct by, everything needed to repeat a run.

Rows are read on the thread that owns the queue's connection; files on the caller's.
"""

import logging
from collections.abc import Callable, Sequence
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
from derive.sql.parts import PartRow, read_parts
from derive.sql.reading import reading
from derive.states import RunStatus

log = logging.getLogger(__name__)
Result = TypeVar("Result")

MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_EVIDENCE_BYTES = 96 * 1024 * 1024
"""Limit of the stored evidence of a long job, above ``part_evidence.WHOLE``."""


@dataclass(frozen=True, kw_only=True)
class PreviousRun:
    """What an earlier run was asked, to repeat it; ``correction`` as it was sent."""

    definition: Definition
    bundle: EvidenceBundle
    options: ChatOptions
    model: str
    correction: Correction | None


@dataclass(frozen=True)
class SplitRun:
    """The run that split a job: what its parts are asked by, and the hash of the evidence they are windows of."""

    run_id: UUID
    definition_sha256: str
    evidence_sha256: str


class PreviousRuns:
    """Earlier runs by id. Every method may raise QueueError, mostly DatabaseUnavailable."""

    def __init__(self, lake: Lake, *, queue_thread: Executor) -> None:
        self._lake = lake
        self._queue_thread = queue_thread
        self._whole: tuple[UUID, EvidenceBundle] | None = None

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
        definition = self.definition(run.definition_sha256) if run.definition_sha256 is not None else None
        if definition is None or run.options_json is None or run.model_name is None:
            raise InvalidInput(f"run {run_id} ended before its prompt was built: there is nothing to repeat")
        try:
            correction = self._artifact(run_id, "correction")
            bundle = self.evidence_of(run_id, sha256=run.evidence_sha256)
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

    def definition(self, definition_sha256: str) -> Definition | None:
        """Return a registered definition, whether its code is still there or not; None if there is none."""
        stored = self._read(lambda: Interrogation.objects.filter(definition_sha256=definition_sha256).first())
        if stored is None:
            return None
        return Definition(
            interrogation_key=stored.interrogation_key,
            version=stored.version,
            prompt_template=stored.prompt_template,
            output_schema_json=stored.output_schema_json,
            rubric=stored.rubric,
        )

    def evidence_of(self, run_id: UUID, *, sha256: str) -> EvidenceBundle:
        """Return the evidence that a run stored; raise InvalidInput if it is gone or does not have this hash."""
        try:
            evidence = self._artifact(run_id, "evidence_bundle", max_bytes=MAX_EVIDENCE_BYTES)
            if evidence is None:
                raise InvalidInput(f"run {run_id} stored no evidence, or it was purged")
            bundle = EvidenceBundle.model_validate_json(evidence)
        except LakeError as error:
            raise InvalidInput(f"the evidence of run {run_id} cannot be read: {error}") from error
        except ValidationError as error:
            raise InvalidInput(f"the evidence of run {run_id} is unreadable: {error.error_count()} faults") from None
        faults = bundle_faults(bundle)
        if faults or bundle.sha256 != sha256:
            why = faults[0] if faults else "it has another hash"
            raise InvalidInput(f"the evidence of run {run_id} has changed since it was stored: {why}")
        return bundle

    def whole_of(self, run_id: UUID, *, sha256: str) -> EvidenceBundle:
        """Return what ``evidence_of`` returns; the last one is kept, since parts of one job follow each other."""
        kept = self._whole
        if kept is None or kept[0] != run_id or kept[1].sha256 != sha256:
            kept = self._whole = (run_id, self.evidence_of(run_id, sha256=sha256))
        return kept[1]

    def split_of(self, job_id: UUID) -> SplitRun | None:
        """Return the run that split a job; None if there is none."""
        run = self._read(lambda: Run.objects.filter(job_id=job_id, status=RunStatus.SPLIT).order_by("-attempt").first())
        return None if run is None else SplitRun(run.run_id, run.definition_sha256, run.evidence_sha256)

    def parts_of(self, job_id: UUID) -> list[PartRow]:
        """Return the parts of a split job in order, with their answers."""
        return self._read(lambda: read_parts(job_id))

    def output_files(self, run_ids: Sequence[UUID]) -> dict[UUID, tuple[str, str]]:
        """Return the path and hash of each run's ``output.json``."""
        rows = self._read(
            lambda: list(
                Artifact.objects.filter(run_id__in=run_ids, artifact_type="parsed_output").values_list(
                    "run_id", "lake_uri", "content_sha256"
                )
            )
        )
        return {run_id: (uri, sha256) for run_id, uri, sha256 in rows}

    def _artifact(self, run_id: UUID, artifact_type: str, *, max_bytes: int = MAX_FILE_BYTES) -> bytes | None:
        uri = self._read(
            lambda: (
                Artifact.objects.filter(run_id=run_id, artifact_type=artifact_type)
                .values_list("lake_uri", flat=True)
                .first()
            )
        )
        return None if uri is None else self._lake.read(str(uri), max_bytes=max_bytes)

    def _read(self, query: Callable[[], Result]) -> Result:
        return self._queue_thread.submit(reading, query).result()
