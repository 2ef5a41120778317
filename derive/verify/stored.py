"""Past runs as recorded in SQL, without Django, so that checking them needs no database."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from derive.contracts import Manifest
from derive.errors import ErrorKind
from derive.states import ReviewStatus, RunStatus

LEFT_NOTHING = frozenset({ErrorKind.LEASE_EXPIRED.value, ErrorKind.RELEASED.value, ErrorKind.LAKE_UNAVAILABLE.value})
"""Ends of runs without artifact rows: nothing was handed in, or the lake accepted nothing."""

SUCCESS_LEAVES = frozenset(
    {
        "request_json",
        "response_stream",
        "response_json",
        "evidence_bundle",
        "prompt_text",
        "parsed_output",
        "validation_report",
        "model_snapshot",
        "manifest",
    }
)

JOINED_LEAVES = frozenset({"evidence_bundle", "parts", "parsed_output", "validation_report", "manifest"})
SPLIT_LEAVES = frozenset({"evidence_bundle", "manifest"})

_JUDGED = frozenset(
    kind.value for kind in (ErrorKind.INVALID_OUTPUT, ErrorKind.UNGROUNDED_OUTPUT, ErrorKind.UNSUPPORTED_OUTPUT)
)
_BEFORE_THE_REQUEST = frozenset({ErrorKind.INVALID_INPUT.value, ErrorKind.INTERNAL.value})


class StoredArtifact(NamedTuple):
    """A row of ``llm.artifact``; a tuple, as runs are, since processes exchange thousands per second."""

    artifact_type: str
    media_type: str
    content_sha256: str
    byte_count: int
    lake_uri: str


class FactColumns(NamedTuple):
    """What a row of ``llm.fact`` records of the answer: no conflicts with other runs, and nothing that people added.

    Of a corrected fact (``review_status``) the ``value_key`` is that of the correction.
    """

    fact_index: int
    path: str
    fact_key: str | None
    value: str | None
    value_key: str | None
    quote: str | None
    evidence_id: str | None
    evidence_ids: Any
    quote_start: int | None
    quote_end: int | None
    occurrences: int
    confidence: float | None
    proof: str
    verdict: str
    why: str | None
    review_status: str = ReviewStatus.NONE.value


class StoredRun(NamedTuple):
    """A row of ``llm.run`` that has ended, with its artifact rows and its job's question.

    ``facts`` is None if they were never stored.
    """

    run_seq: int
    run_id: UUID
    job_id: UUID
    attempt: int
    counted: bool
    started_utc: datetime
    status: str
    worker_id: str
    model_name: str | None
    model_tag: str | None
    model_digest: str | None
    options_json: str | None
    metrics_json: str | None
    prompt_tokens: int | None
    output_tokens: int | None
    interrogation_version: str | None
    definition_sha256: str | None
    evidence_sha256: str | None
    output_json: str | None
    error_kind: str | None
    error: str | None
    interrogation_key: str
    input_json: str
    parent_job_id: UUID | None = None
    artifacts: tuple[StoredArtifact, ...] = ()
    facts: tuple[FactColumns, ...] | None = None
    is_try: bool = False
    """Whether it is an experiment's, whose facts are not stored."""

    @property
    def has_joined(self) -> bool:
        """Whether the run joined the answers of its job's parts, instead of asking a model."""
        return any(row.artifact_type == "parts" for row in self.artifacts)

    @property
    def must_have_rows(self) -> bool:
        """Whether a run that ended this way handed in its files."""
        return self.error_kind not in LEFT_NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """How a run ended and what it was asked by: from its manifest if trusted, otherwise from SQL.

    So a changed column is one finding, and does not cause others.
    """

    status: str
    error_kind: str | None
    interrogation_key: str
    interrogation_version: str | None
    definition_sha256: str | None
    evidence_sha256: str | None

    @classmethod
    def of(cls, run: StoredRun, manifest: Manifest | None) -> "RunState":
        """Return the run's state from its manifest, or from its row without a trusted one."""
        source = run if manifest is None else manifest
        return cls(
            status=str(source.status),
            error_kind=None if source.error_kind is None else str(source.error_kind),
            interrogation_key=source.interrogation_key,
            interrogation_version=source.interrogation_version,
            definition_sha256=source.definition_sha256,
            evidence_sha256=source.evidence_sha256,
        )

    @property
    def succeeded(self) -> bool:
        """Whether the run has a valid answer."""
        return self.status == RunStatus.SUCCEEDED.value


def types_that_must_be(run: StoredRun, state: RunState) -> frozenset[str]:
    """Return the artifact types that a run which got this far stored, according to SQL."""
    if state.status == RunStatus.SPLIT.value:
        return SPLIT_LEAVES
    if state.succeeded:
        return JOINED_LEAVES if run.has_joined else SUCCESS_LEAVES
    left = {"manifest"}
    if state.evidence_sha256 is not None:
        left.add("evidence_bundle")
    if run.options_json is not None:
        left.add("prompt_text")
        if state.error_kind not in _BEFORE_THE_REQUEST:
            left.add("request_json")
    if run.model_digest is not None:
        left.add("model_snapshot")
    if run.prompt_tokens or run.output_tokens:
        left |= {"response_stream", "response_json"}
    if state.error_kind in _JUDGED:
        left |= {"response_stream", "response_json", "validation_report"}
    return frozenset(left)
