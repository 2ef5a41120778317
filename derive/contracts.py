"""Frozen models that cross a boundary: jobs, claims, outcomes and manifests.

Sizes are in characters or bytes as named; times are timezone-aware UTC.
"""

from typing import Literal

from pydantic import Field

from derive.errors import ErrorKind
from derive.split_contracts import Split
from derive.states import EndpointState, JobStatus, LeaseState, ReviewDecision, ReviewStatus, RunStatus, Verdict
from derive.strict_types import (
    MAX_INT,
    BoundedUtc,
    Frozen,
    Guid,
    JsonObjectText,
    Key200,
    Key400,
    ModelNames,
    ReadableText,
    Sha256,
    StorableText,
    Utc,
)


class JobInput(Frozen):
    """A job to enqueue: the parameters of ``llm.usp_enqueue_job``."""

    interrogation_key: Key200
    input_json: JsonObjectText
    priority: int = Field(default=100, ge=0, le=MAX_INT)
    evidence_ref_json: JsonObjectText | None = None
    model_hint: Key200 | None = None
    max_attempts: int = Field(default=3, ge=1, le=1000)
    available_utc: BoundedUtc | None = None
    dedupe_key: Key400 | None = None
    entity_type: Key200 | None = None
    entity_id: Key400 | None = None
    repeats_run_id: Guid | None = None
    job_id: Guid | None = None


class Enqueued(Frozen):
    """The queue's answer to a JobInput; if ``is_duplicate``, ``job_id`` is the job that holds the dedupe key."""

    job_id: Guid
    is_duplicate: bool
    status: JobStatus


class Claim(Frozen):
    """One job taken under a lease. ``run_id`` is the lease's token, required to complete the run."""

    job_id: Guid
    run_id: Guid
    attempt: int
    attempt_count: int
    max_attempts: int
    priority: int
    interrogation_key: str
    input_json: str
    evidence_ref_json: str | None
    model_hint: str | None
    repeats_run_id: Guid | None
    lease_expires_utc: Utc
    previous_run_id: Guid | None
    previous_error_kind: str | None
    previous_error: str | None
    previous_options_json: str | None
    num_ctx: int | None = None
    """Tokens, if the job's model has its own context window; likewise ``num_predict``."""
    num_predict: int | None = None
    parent_job_id: Guid | None = None
    """The job that this one is a part of; ``part_no`` counts from 1."""
    part_no: int | None = None
    part_count: int | None = None
    started_utc: Utc

    @property
    def joins_parts(self) -> bool:
        """Whether the job was split and its parts have ended: this run joins their answers."""
        return self.part_count is not None and self.parent_job_id is None

    @property
    def is_last_attempt(self) -> bool:
        """Whether a counted failure of this run uses up the job's attempts."""
        return self.attempt_count >= self.max_attempts


ANY_MODEL = "*"


class ServedModel(Frozen):
    """A model that a server can serve. ``idle_seconds`` is the time since it was last served there; None: never."""

    model: Key200
    idle_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class ModelServer(Frozen):
    """The model server of a claim: the model it serves now, those it can serve, and the default for jobs without one.

    With ``stay`` the claim continues with ``serving`` while that has jobs of the highest ready priority; otherwise it
    prefers another model. In ``models`` the name ``*`` stands for all others. With ``stay`` None, or with neither
    ``serving`` nor ``models``, jobs of any model that it can serve are claimed in strict order.
    """

    default: Key200
    serving: Key200 | None = None
    models: tuple[ServedModel, ...] | None = None
    stay: bool | None = True


class ModelLimits(Frozen):
    """Limits that operators set for a model; fields not given keep their value. ``max_running`` is across all workers.

    None means no limit of that kind. ``num_ctx`` and ``num_predict`` are tokens; None: the workers' settings.
    """

    max_running: int | None = Field(default=None, ge=1, le=MAX_INT)
    max_starts_per_minute: int | None = Field(default=None, ge=1, le=MAX_INT)
    num_ctx: int | None = Field(default=None, ge=1, le=MAX_INT)
    num_predict: int | None = Field(default=None, ge=1, le=MAX_INT)


class Ageing(Frozen):
    """Which ready jobs have waited too long, and their new priority: parameters of ``usp_escalate_aged_jobs``."""

    waiting_seconds: int = Field(ge=1, le=31_536_000)
    raise_by: int = Field(ge=1, le=MAX_INT)
    max_priority: int = Field(ge=1, le=MAX_INT)
    interrogation_key: Key200 | None = None
    """None means every interrogation."""


class AgedPlace(Frozen):
    """The progress of an escalation: all of that priority, or up to that job of it."""

    after_priority: int
    after_utc: Utc | None
    after_job_seq: int | None


class Escalated(Frozen):
    """The number of jobs one step of an escalation raised; the next step continues at ``after``, None at the end."""

    raised: int
    after: AgedPlace | None


class Lease(Frozen):
    """What a heartbeat learned about one run."""

    run_id: Guid
    state: LeaseState
    lease_expires_utc: Utc | None


class EndpointFacts(Frozen):
    """What a worker reports about one model server: the columns of ``llm.endpoint``.

    ``address`` is shown to operators and never contains a secret. The server's list of models is untrusted: names are
    stripped and made storable, and at most ``MOST_MODELS`` are kept.
    """

    name: Key200
    protocol: str = Field(min_length=1, max_length=40)
    address: ReadableText
    slots: int = Field(ge=1, le=MAX_INT)
    state: EndpointState
    serving_model: Key200 | None = None
    serving_since_utc: BoundedUtc | None = None
    resident: ModelNames | None = None
    """The models it has loaded; None if unknown."""
    models: ModelNames | None = None
    """The models it lists; None if unknown."""
    last_error: ReadableText | None = None


class WorkerFacts(Frozen):
    """What a worker reports about itself."""

    host: str
    pid: int
    version: str
    started_utc: Utc
    concurrency: int
    stopping: bool = False
    not_claiming_why: str | None = None
    """Why it may not claim jobs; None if it may."""
    endpoints: tuple[EndpointFacts, ...] | None = None
    """All of its model servers, with distinct names; None leaves the last report unchanged."""


class RunFacts(Frozen):
    """What is known about a run when it ends: columns of ``llm.run``, each None if unknown.

    ``metrics_json`` holds Ollama's own six names, in nanoseconds and counts; ``total_ms`` is milliseconds from the
    claim to the completing call, measured by the worker.
    """

    ollama_base_url: str | None = None
    model_name: str | None = None
    model_tag: str | None = None
    model_digest: str | None = None
    options_json: str | None = None
    metrics_json: str | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    total_ms: int | None = None
    interrogation_version: str | None = None
    definition_sha256: Sha256 | None = None
    evidence_sha256: Sha256 | None = None
    output_json: str | None = None
    trace_id: str | None = None


class ArtifactFacts(Frozen):
    """One file of a run, as recorded in SQL and in the manifest. ``lake_uri`` is relative to the lake's root."""

    artifact_id: Guid
    artifact_type: str
    media_type: str
    content_sha256: Sha256
    byte_count: int = Field(ge=0)
    lake_uri: str


class JudgedFact(Frozen):
    """A cited object of an answer, with the place of its quote and the verdict: a row of ``llm.fact``.

    ``fact_index`` numbers the answer's facts from 0; ``path`` locates it in the answer. Values and quotes are text;
    anything else is JSON. Facts with equal ``value_key`` have the same value; None never takes part in conflicts.
    Offsets are code points in the evidence item's stored text, the end exclusive; None if the quote was not found
    (``occurrences`` is then 0). ``evidence_ids`` are all items the fact cites, ``evidence_id`` the one that contains
    the quote.
    """

    fact_index: int = Field(ge=0)
    path: ReadableText = Field(max_length=400)
    fact_key: ReadableText | None = Field(default=None, max_length=200)
    value: ReadableText | None = None
    value_key: ReadableText | None = Field(default=None, max_length=400)
    quote: ReadableText | None = None
    evidence_id: ReadableText | None = Field(default=None, max_length=400)
    evidence_ids: tuple[ReadableText, ...] | None = None
    quote_start: int | None = Field(default=None, ge=0)
    quote_end: int | None = Field(default=None, ge=0)
    occurrences: int = Field(default=0, ge=0)
    confidence: float | None = Field(default=None, ge=0, le=100, allow_inf_nan=False)
    proof: str = Field(max_length=40)
    verdict: Verdict
    why: ReadableText | None = Field(default=None, max_length=1000)


class Outcome(Frozen):
    """How a run ended: the parameters of ``llm.usp_complete_job``, or of ``llm.usp_split_job`` if it is SPLIT.

    ``facts`` of a SUCCEEDED run are stored with it, at most 10,000; None: they are judged later. ``split`` are the
    parts of a SPLIT one.
    """

    job_id: Guid
    run_id: Guid
    status: Literal[RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED, RunStatus.SPLIT]
    error: str | None = None
    error_kind: ErrorKind | None = None
    retry_after_seconds: int | None = Field(default=None, ge=0)
    count_attempt: bool = True
    run: RunFacts = RunFacts()
    artifacts: tuple[ArtifactFacts, ...] = ()
    facts: tuple[JudgedFact, ...] | None = None
    split: Split | None = None


class Rebuilt(Frozen):
    """Whether a run's facts were replaced, and their number; if not stored, ``why`` is the reason."""

    stored: bool
    fact_count: int | None
    why: str | None


class FactDecision(Frozen):
    """What a person decides about a fact: an element of ``decisions_json`` of ``llm.usp_review_facts``.

    CORRECTED has a ``corrected_value``, another place of the quote, or both; ADDED has no ``fact_id`` but ``run_id``,
    ``fact_key``, ``value`` and a place. Offsets are code points in the item's stored text, the end exclusive.
    """

    decision: ReviewDecision
    fact_id: Guid | None = None
    corrected_value: StorableText | None = Field(default=None, min_length=1)
    corrected_value_key: StorableText | None = Field(default=None, max_length=400)
    evidence_id: StorableText | None = Field(default=None, max_length=400)
    quote: ReadableText | None = Field(default=None, min_length=1)
    quote_start: int | None = Field(default=None, ge=0)
    quote_end: int | None = Field(default=None, ge=1)
    run_id: Guid | None = None
    fact_key: StorableText | None = Field(default=None, min_length=1, max_length=200)
    value: StorableText | None = Field(default=None, min_length=1)
    value_key: StorableText | None = Field(default=None, max_length=400)


class Reviewed(Frozen):
    """The result of a decision; if nothing changed, ``why`` is the reason."""

    fact_id: Guid | None
    changed: bool
    from_status: ReviewStatus | None
    to_status: ReviewStatus | None
    why: str | None


class ClaimedFact(Frozen):
    """Who holds a fact for review, and until when by the database's clock; a named fact may be somebody else's."""

    fact_seq: int
    fact_id: Guid
    claimed_by: str | None
    claim_expires_utc: Utc | None


class Completion(Frozen):
    """The queue's answer to an outcome. Not accepted: the lease was lost and nothing was changed."""

    accepted: bool
    final_status: JobStatus | None
    available_utc: Utc | None = None


class Reaped(Frozen):
    """One run whose lease expired, and its job's new state."""

    job_id: Guid
    run_id: Guid
    final_status: JobStatus
    available_utc: Utc | None


class RolledUp(Frozen):
    """How far events are rolled up: if caught up, everything committed before ``through_utc``."""

    events: int
    through_utc: Utc | None
    is_caught_up: bool


class JobRef(Frozen):
    """A job that an operator acts on; with ``expected_status``, only if it is still in that state."""

    job_id: Guid
    expected_status: JobStatus | None = None


class JobChange(Frozen):
    """An operator procedure's result for one job; if not changed, ``why`` is the reason."""

    job_id: Guid
    changed: bool
    from_status: JobStatus | None
    to_status: JobStatus | None
    why: str | None


class Purged(Frozen):
    """A lake folder of a purged job to delete; ``lake_uri`` is None for a job without runs."""

    job_id: Guid
    lake_uri: str | None


class Horizon(Frozen):
    """How far the history is settled: no open transaction can add events up to ``event_seq``; None: unknown now."""

    event_seq: int | None
    at_utc: Utc


class DeletionTry(Frozen):
    """One attempt to delete a purged file from the lake; without an error it is deleted."""

    deletion_seq: int
    error: str | None = None


class Registration(Frozen):
    """Whether a definition is registered; if not, ``why`` is the reason."""

    registered: bool
    why: str | None


class Bounds(Frozen):
    """Limits of the evidence for one run. Sizes are bytes of UTF-8."""

    max_items: int = Field(default=40, ge=1)
    max_item_bytes: int = Field(default=8_192, ge=1)
    max_total_bytes: int = Field(default=20_480, ge=1)


class ManifestFile(Frozen):
    """One file of a run's folder."""

    name: str
    artifact_type: str
    media_type: str
    byte_count: int = Field(ge=0)
    content_sha256: Sha256


class Manifest(Frozen):
    """The list of a run's artifacts with their hashes; written last."""

    manifest_version: Literal[1] = 1
    holocron_version: str
    job_id: Guid
    run_id: Guid
    attempt: int
    worker_id: str
    interrogation_key: str
    interrogation_version: str | None
    definition_sha256: Sha256 | None
    evidence_sha256: Sha256 | None
    started_utc: Utc
    status: RunStatus
    error_kind: ErrorKind | None
    files: tuple[ManifestFile, ...]
