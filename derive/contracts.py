"""What crosses a boundary: frozen models for jobs, claims, evidence, outcomes and manifests.

Sizes in characters or bytes as named; times are aware and UTC.
"""

import json
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, NoReturn
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr

from derive.errors import ErrorKind
from derive.states import JobStatus, LeaseState, RunStatus

MAX_INT = 2**31 - 1
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""The first moment that a procedure takes, on either engine."""
LATEST = datetime(9000, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
"""The last one: from here on there is room to add to it."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, object_pairs_hook=_refuse_duplicates)
"""Made once: ``json.loads`` with hooks makes a new decoder for every text, which costs more than a short text."""


def parse_json(text: str) -> Any:
    """Parse JSON strictly: no NaN or Infinity, no key twice in an object; raise ValueError otherwise."""
    if text.startswith("\ufeff"):
        raise ValueError("it begins with a byte-order mark (BOM)")
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def check_storable(text: str) -> str:
    """Return the text, or raise ValueError when no database could keep it (U+0000, a lone surrogate)."""
    if "\x00" in text:
        raise ValueError("holds the character U+0000, which cannot be stored")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds half of a surrogate pair, which is no character") from None
    return text


def _check_storable_deep(value: Any) -> None:
    if isinstance(value, str):
        check_storable(value)
    elif isinstance(value, dict):
        for key, member in value.items():
            check_storable(key)
            _check_storable_deep(member)
    elif isinstance(value, list):
        for member in value:
            _check_storable_deep(member)


def check_json_object(text: str) -> str:
    """Return the text unchanged, or raise ValueError when it is not one storable JSON object."""
    check_storable(text)
    value = parse_json(text)
    if not isinstance(value, dict):
        raise ValueError("must be a JSON object")
    if "\\u" in text:
        try:
            _check_storable_deep(value)
        except RecursionError:
            raise ValueError("nested too deeply") from None
    return text


def _check_ends(text: str) -> str:
    if text != text.strip():
        raise ValueError("has blanks at an end")
    return check_storable(text)


def _to_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def check_bounds(moment: datetime) -> datetime:
    """Return the moment in UTC, or raise ValueError where no procedure would take it."""
    if not EARLIEST <= moment <= LATEST:
        raise ValueError("must be in the years 2000 to 9000")
    return moment.astimezone(UTC)


JsonObjectText = Annotated[str, AfterValidator(check_json_object)]
Utc = Annotated[AwareDatetime, AfterValidator(_to_utc)]
BoundedUtc = Annotated[AwareDatetime, AfterValidator(check_bounds)]
Key200 = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_check_ends)]
Key400 = Annotated[str, Field(min_length=1, max_length=400), AfterValidator(_check_ends)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Guid = Annotated[UUID, BeforeValidator(lambda value: UUID(value) if isinstance(value, str) else value)]


class Frozen(BaseModel):
    """A value that is checked when it is made and never changes; unknown members are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class JobInput(Frozen):
    """What is asked for: the parameters of ``llm.usp_enqueue_job``."""

    interrogation_key: Key200
    input_json: JsonObjectText
    priority: int = Field(default=100, ge=0, le=MAX_INT)
    evidence_ref_json: JsonObjectText | None = None
    model_hint: Key200 | None = None
    max_attempts: int = Field(default=3, ge=1, le=1000)
    available_utc: BoundedUtc | None = None
    dedupe_key: Key400 | None = None
    entity_type: Key200 | None = None
    entity_id: Key200 | None = None
    repeats_run_id: Guid | None = None
    job_id: Guid | None = None


class Enqueued(Frozen):
    """What the queue answers to a JobInput; with ``is_duplicate`` the job is the one that holds the key."""

    job_id: Guid
    is_duplicate: bool
    status: JobStatus


class Claim(Frozen):
    """One job taken under a lease. ``run_id`` is the lease's token: whoever completes must show it."""

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
    started_utc: Utc

    @property
    def is_last_attempt(self) -> bool:
        """Whether a counted failure of this run uses the job's attempts up."""
        return self.attempt_count >= self.max_attempts


class Lease(Frozen):
    """What a heartbeat learned of one run."""

    run_id: Guid
    state: LeaseState
    lease_expires_utc: Utc | None


class WorkerFacts(Frozen):
    """What a worker tells about itself."""

    host: str
    pid: int
    version: str
    started_utc: Utc
    concurrency: int
    stopping: bool = False


class RunFacts(Frozen):
    """What is known of a run when it ends: columns of ``llm.run``, each as far as known.

    ``metrics_json`` holds Ollama's own six names in nanoseconds and counts; ``total_ms`` is milliseconds
    from the claim to the completing call as the worker measured them.
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
    """One file of a run, as SQL and the manifest know it. ``lake_uri`` is relative to the lake's root."""

    artifact_id: Guid
    artifact_type: str
    media_type: str
    content_sha256: Sha256
    byte_count: int = Field(ge=0)
    lake_uri: str


class Outcome(Frozen):
    """How a run ended, as ``llm.usp_complete_job`` takes it."""

    job_id: Guid
    run_id: Guid
    status: Literal[RunStatus.SUCCEEDED, RunStatus.FAILED, RunStatus.CANCELLED]
    error: str | None = None
    error_kind: ErrorKind | None = None
    retry_after_seconds: int | None = Field(default=None, ge=0)
    count_attempt: bool = True
    run: RunFacts = RunFacts()
    artifacts: tuple[ArtifactFacts, ...] = ()


class Completion(Frozen):
    """What the queue made of an outcome; not accepted: the lease was lost, nothing was changed."""

    accepted: bool
    final_status: JobStatus | None
    available_utc: Utc | None = None


class Reaped(Frozen):
    """One run whose lease expired, and what became of its job."""

    job_id: Guid
    run_id: Guid
    final_status: JobStatus
    available_utc: Utc | None


class RolledUp(Frozen):
    """How far the events are counted into hours: all that was committed before ``through_utc``, if caught up."""

    events: int
    through_utc: Utc | None
    is_caught_up: bool


class JobRef(Frozen):
    """A job an operator acts on; with ``expected_status`` only if it is still in that state."""

    job_id: Guid
    expected_status: JobStatus | None = None


class JobChange(Frozen):
    """What an operator's procedure did to one job; not changed: ``why`` says the reason."""

    job_id: Guid
    changed: bool
    from_status: JobStatus | None
    to_status: JobStatus | None
    why: str | None


class Purged(Frozen):
    """One lake folder that a purge left to be deleted; ``lake_uri`` is None for a job without runs."""

    job_id: Guid
    lake_uri: str | None


class Horizon(Frozen):
    """How far the history is settled: up to ``event_seq`` no open transaction can add to it; None: not known now."""

    event_seq: int | None
    at_utc: Utc


class DeletionTry(Frozen):
    """One try to delete a purged file in the lake; without an error it is gone."""

    deletion_seq: int
    error: str | None = None


class Registration(Frozen):
    """Whether a definition is on record; not registered: ``why`` says the reason."""

    registered: bool
    why: str | None


class Bounds(Frozen):
    """How much evidence one run may look at. Sizes are bytes of UTF-8."""

    max_items: int = Field(default=40, ge=1)
    max_item_bytes: int = Field(default=8_192, ge=1)
    max_total_bytes: int = Field(default=20_480, ge=1)


class EvidenceItem(Frozen):
    """One piece of evidence as the model sees it: bounded, redacted, hashed (SHA-256 of the UTF-8 text)."""

    evidence_id: str
    source_uri: str | None
    text: str
    sha256: Sha256


class EvidenceCut(Frozen):
    """What was left out of the bundle, and why."""

    evidence_id: str
    why: Literal["item_too_long", "bundle_full", "too_many_items", "duplicate", "empty"]
    kept_bytes: int
    dropped_bytes: int


class EvidenceRedaction(Frozen):
    """How often a pattern was replaced in an item; never what stood there."""

    evidence_id: str
    pattern: str
    count: int


class EvidenceBundle(Frozen):
    """What the model may look at. ``sha256`` covers the items alone: equal evidence has an equal hash."""

    items: tuple[EvidenceItem, ...]
    bounds: Bounds
    cuts: tuple[EvidenceCut, ...] = ()
    redactions: tuple[EvidenceRedaction, ...] = ()
    delimiter: str
    sha256: Sha256


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


class OllamaSettings(Frozen):
    """Where the model is and how it is asked. Times are seconds, ``num_*`` are tokens.

    ``base_url`` is shown and stored, so it holds no credentials; ``authorization`` is the value of the header that
    does. ``ca_file`` is a PEM file of the only authorities that an https server's certificate may come from.
    """

    base_url: str = "http://127.0.0.1:11434"
    authorization: SecretStr | None = None
    ca_file: str | None = None
    model: str = "llama3.2"
    num_ctx: int = 8192
    num_predict: int = 2048
    temperature: float = 0
    seed: int = 0
    keep_alive: str = "5m"
    connect_seconds: float = 5
    first_byte_seconds: float = 600
    idle_seconds: float = 60
    timeout_seconds: float = 1800
    max_answer_bytes: int = 16 * 1024 * 1024
