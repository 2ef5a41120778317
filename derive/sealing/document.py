"""A seal's document: the exact bytes that were hashed and stored in the lake."""

import hashlib
from datetime import UTC, datetime
from typing import Literal, Self
from uuid import UUID

import rfc8785
from pydantic import BaseModel, ConfigDict, Field, ValidationError

NO_HEAD = "0" * 64
"""The previous head of the first seal."""
SEALS_FOLDER = "seals"
MAX_DOCUMENT_BYTES = 64 * 1024 * 1024

Sha256 = str


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SealedArtifact(_Part):
    """A row of ``llm.artifact``: its hash, and the hash of its file."""

    artifact_type: str
    row_sha256: Sha256
    content_sha256: Sha256


class SealedRun(_Part):
    """A run that its event ended; ``row_sha256`` is None if its row was already gone."""

    run_id: UUID
    row_sha256: Sha256 | None
    artifacts: tuple[SealedArtifact, ...] = ()


class SealedEvent(_Part):
    """An event's hash. ``job_sha256``: the hash of the job, if this event queued it."""

    event_seq: int
    job_id: UUID
    sha256: Sha256
    job_sha256: Sha256 | None = None
    run: SealedRun | None = None


class SealDocument(_Part):
    """One seal of the chain."""

    version: Literal[1] = 1
    seal_seq: int
    previous_sha256: Sha256
    created_utc: str
    events: tuple[SealedEvent, ...] = Field(min_length=1)

    @classmethod
    def parse(cls, data: bytes) -> Self | None:
        """Parse a document; None if it is not one."""
        try:
            return cls.model_validate_json(data)
        except ValidationError:
            return None

    def encode(self) -> bytes:
        """Return the bytes to store and hash."""
        return rfc8785.dumps(self.model_dump(mode="json", exclude_none=True))

    @property
    def first_event_seq(self) -> int:
        """The lowest event number in it."""
        return self.events[0].event_seq

    @property
    def last_event_seq(self) -> int:
        """The highest event number in it: the seal covers everything after the previous seal up to it."""
        return self.events[-1].event_seq


def head_of(data: bytes) -> Sha256:
    """Return the head: the SHA-256 of a document's bytes."""
    return hashlib.sha256(data).hexdigest()


def seal_place(created_utc: datetime, seal_seq: int) -> tuple[str, str]:
    """Return the folder and name of a seal's file; names sort in the order of their numbers."""
    return f"{SEALS_FOLDER}/{created_utc.astimezone(UTC):%Y/%m/%d}", f"{seal_seq:012}.json"
