"""A seal's document: what stands in the lake, byte for byte as it was hashed."""

import hashlib
from datetime import UTC, datetime
from typing import Literal, Self
from uuid import UUID

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, ValidationError

NO_HEAD = "0" * 64
"""What the first seal stands on."""
SEALS_FOLDER = "seals"
MAX_DOCUMENT_BYTES = 64 * 1024 * 1024

Sha256 = str


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SealedArtifact(_Part):
    """A row of ``llm.artifact``: its hash, and that of the file it tells of."""

    artifact_type: str
    row_sha256: Sha256
    content_sha256: Sha256


class SealedRun(_Part):
    """A run that its event ended; ``row_sha256`` is None when its row was not there any more."""

    run_id: UUID
    row_sha256: Sha256 | None
    artifacts: tuple[SealedArtifact, ...] = ()


class SealedEvent(_Part):
    """An event's own hash. ``job_sha256``: of the job, when this event queued it."""

    event_seq: int
    job_id: UUID
    sha256: Sha256
    job_sha256: Sha256 | None = None
    run: SealedRun | None = None


class SealDocument(_Part):
    """One link of the chain."""

    version: Literal[1] = 1
    seal_seq: int
    previous_sha256: Sha256
    created_utc: str
    events: tuple[SealedEvent, ...] = Field(min_length=1)

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """Return the document in these bytes, None when they hold none."""
        try:
            return cls.model_validate_json(data)
        except ValidationError:
            return None

    def encode(self) -> bytes:
        """Return the bytes to be stored and hashed."""
        return rfc8785.dumps(self.model_dump(mode="json", exclude_none=True))

    @property
    def first_event_seq(self) -> int:
        """The lowest number in it."""
        return self.events[0].event_seq

    @property
    def last_event_seq(self) -> int:
        """The highest number in it: the seal covers all from behind the seal before up to here."""
        return self.events[-1].event_seq


def head_of(data: bytes) -> Sha256:
    """Return the head: the SHA-256 of a document's bytes."""
    return hashlib.sha256(data).hexdigest()


def seal_place(created_utc: datetime, seal_seq: int) -> tuple[str, str]:
    """Return folder and name of a seal's file; names sort as their numbers do."""
    return f"{SEALS_FOLDER}/{created_utc.astimezone(UTC):%Y/%m/%d}", f"{seal_seq:012}.json"
