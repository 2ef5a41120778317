"""What a run stores: its files in the lake and the columns of its row.

Files are collected during the run and written in one step when it ends, the manifest last; only the answer's stream is
written as it arrives. A run that fails stores what it has.
"""

import logging
import time
from importlib.metadata import PackageNotFoundError, version
from random import Random
from typing import Any

from derive.backoff import backoff_seconds
from derive.contracts import Claim, JudgedFact, Manifest, ManifestFile, Outcome, RunFacts
from derive.errors import ErrorKind, InternalError, LakeError, LakeUnavailable, RunError
from derive.lake import Lake, Spool, artifact_facts
from derive.model_servers.chat import ChatAnswer
from derive.model_servers.models import split_model
from derive.split_contracts import Split
from derive.states import RunStatus
from derive.worker import spans

log = logging.getLogger(__name__)
_rng = Random()  # noqa: S311 - spreads retries, guards nothing

MAX_ERROR_CHARS = 2000

try:
    HOLOCRON_VERSION = version("holocron")
except PackageNotFoundError:
    # Not installed: run from a clone.
    HOLOCRON_VERSION = "0.1.0"


class RunRecord:
    """Collects a run's files and columns; ``close`` writes them and returns the outcome.

    One stage of the run uses it at a time, on any thread.
    """

    def __init__(self, claim: Claim, *, lake: Lake, worker_id: str) -> None:
        self.claim = claim
        self._lake = lake
        self._worker_id = worker_id
        self._folder = lake.run_folder(claim.started_utc, claim.run_id)
        self._files: dict[str, bytes] = {}
        self._facts: dict[str, Any] = {}
        self._spool: Spool | None = None
        self._begun = time.monotonic()

    def add_file(self, name: str, content: bytes | str) -> None:
        """Keep a file for the lake; text becomes UTF-8."""
        self._files[name] = content.encode() if isinstance(content, str) else content

    def know(self, **facts: object) -> None:
        """Record columns of ``llm.run``, by RunFacts' names; later values replace earlier ones."""
        self._facts.update(facts)

    def know_model(self, model: str, *, has_tags: bool) -> None:
        """Record the model's name and tag; where models have tags, the default is ``latest``."""
        name, tag = split_model(model) if has_tags else (model, None)
        self.know(model_name=name, model_tag=tag)

    def know_answer(self, answer: ChatAnswer) -> None:
        """Record the model's answer, complete or not."""
        if answer.response_json:
            self.add_file("response.json", answer.response_json)
        self.know(
            metrics_json=answer.metrics.to_json(),
            prompt_tokens=answer.metrics.prompt_eval_count,
            output_tokens=answer.metrics.eval_count,
        )

    def open_stream(self, name: str) -> None:
        """Create the file for the answer's bytes before waiting for a slot."""
        self.abandon()
        self._spool = self._lake.spool(self._folder, name)

    def take_bytes(self, chunk: bytes) -> None:
        """Store bytes of the answer as they arrive; raise LakeUnavailable if the lake accepts no more."""
        if self._spool is not None:
            self._spool.write(chunk)

    def close(
        self,
        status: RunStatus,
        *,
        error: RunError | None = None,
        retry_after_seconds: int | None = None,
        facts: tuple[JudgedFact, ...] | None = None,
        split: Split | None = None,
    ) -> Outcome:
        """Write everything to the lake and return the outcome to hand in.

        ``facts`` are those of a valid answer, ``split`` the parts of a SPLIT run.

        If the lake cannot be written, the outcome becomes ``lake_unavailable``; if it refuses the files, ``internal``,
        without artifacts: every artifact in SQL exists.
        """
        kind = error.kind if error else None
        message = str(error)[:MAX_ERROR_CHARS] if error else None
        try:
            with spans.step("lake"):
                files = self._write_files(status, kind)
        except LakeUnavailable as unavailable:
            return self._without_files(unavailable, retry_after_seconds=0)
        except LakeError as refused:
            log.error("run.lake_refused", extra={"run_id": self.claim.run_id, "error": str(refused)})
            return self._without_files(
                InternalError(f"the lake refused what this run left: {refused}"),
                retry_after_seconds=backoff_seconds(self.claim.attempt_count, _rng),
            )
        return Outcome(
            job_id=self.claim.job_id,
            run_id=self.claim.run_id,
            status=status,
            error=message,
            error_kind=kind,
            retry_after_seconds=retry_after_seconds,
            count_attempt=error.counted if error else True,
            run=self._run_facts(),
            artifacts=artifact_facts(self.claim.run_id, self._folder, files),
            facts=facts,
            split=split,
        )

    def _without_files(self, error: RunError, *, retry_after_seconds: int) -> Outcome:
        self.abandon()
        return Outcome(
            job_id=self.claim.job_id,
            run_id=self.claim.run_id,
            status=RunStatus.FAILED,
            error=str(error)[:MAX_ERROR_CHARS],
            error_kind=error.kind,
            retry_after_seconds=retry_after_seconds,
            count_attempt=error.counted,
            run=self._run_facts(),
        )

    def abandon(self) -> None:
        """Discard what was written: the lease was lost, or the job is released."""
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.abandon()

    def _write_files(self, status: RunStatus, kind: ErrorKind | None) -> list[ManifestFile]:
        spool, self._spool = self._spool, None
        if spool is not None and spool.byte_count == 0:
            # The model was not asked, or did not answer.
            spool.abandon()
            spool = None
        return self._lake.write_run(
            self._folder, self._files, spool=spool, manifest=lambda files: self._manifest(files, status, kind)
        )

    def _manifest(self, files: tuple[ManifestFile, ...], status: RunStatus, kind: ErrorKind | None) -> Manifest:
        claim = self.claim
        return Manifest(
            holocron_version=HOLOCRON_VERSION,
            job_id=claim.job_id,
            run_id=claim.run_id,
            attempt=claim.attempt,
            worker_id=self._worker_id,
            interrogation_key=claim.interrogation_key,
            interrogation_version=self._facts.get("interrogation_version"),
            definition_sha256=self._facts.get("definition_sha256"),
            evidence_sha256=self._facts.get("evidence_sha256"),
            started_utc=claim.started_utc,
            status=status,
            error_kind=kind,
            files=files,
        )

    def _run_facts(self) -> RunFacts:
        return RunFacts(**self._facts, total_ms=round((time.monotonic() - self._begun) * 1000))
