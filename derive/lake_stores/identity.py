"""The lake's id file, which lets the database tell its own lake from any other folder."""

import json
from uuid import UUID

IDENTITY_NAME = "lake.json"
MAX_IDENTITY_BYTES = 1_000
WHAT_TO_DO = "mount the right lake or correct LAKE_URL; to use this one as it is, run `manage.py set_up_lake`"


def encode_identity(lake_id: UUID) -> bytes:
    """Return the file's content, which is always the same for an id, so that two writers do not conflict."""
    return json.dumps({"lake_id": str(lake_id)}).encode() + b"\n"


def decode_identity(data: bytes) -> UUID | None:
    """Return the id in a file's content, or None if it contains none."""
    try:
        return UUID(json.loads(data)["lake_id"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
