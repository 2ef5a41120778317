"""Says what of long evidence an answer was made without."""

import hashlib
from uuid import UUID

from pydantic import ValidationError

from derive.errors import LakeError
from derive.joining.document import PartsDocument
from derive.lake import Lake
from derive.models import Artifact
from derive.plural import plural
from derive.sql.reading import reading

MAX_PARTS_BYTES = 64 * 1024 * 1024
MAX_TOLD = 10
"""Stretches of text that are named; a partial answer may have thousands."""


def unread_in_words(run_id: UUID, lake: Lake) -> str:
    """Return which text of a joined answer's evidence was not read; empty if all was, or the answer was not joined.

    Raises QueueError, LakeUnavailable.
    """
    rows = Artifact.objects.filter(run_id=run_id, artifact_type="parts")
    found = reading(lambda: rows.values_list("lake_uri", "content_sha256").first())
    if found is None:
        return ""
    uri, sha256 = found
    try:
        data = lake.read(uri, max_bytes=MAX_PARTS_BYTES)
        document = PartsDocument.model_validate_json(data)
    except (LakeError, ValidationError):
        return f"Whether all of the evidence was read is unknown: {uri} cannot be read."
    if hashlib.sha256(data).hexdigest() != sha256:
        return f"Whether all of the evidence was read is unknown: the SHA-256 of {uri} is not what was recorded."
    if not document.unread:
        return ""
    unread = document.unread_text()
    named = [f"{one.evidence_id}, characters {one.start:,} to {one.end:,}" for one in unread[:MAX_TOLD]]
    more = f"; and {len(unread) - MAX_TOLD:,} more stretches" if len(unread) > MAX_TOLD else ""
    count = len(document.unread)
    have = "has" if count == 1 else "have"
    return (
        f"This answer is partial: {count:,} of {plural(len(document.parts), 'part')} {have} no answer. "
        f"Not read: {'; '.join(named)}{more}."
    )
