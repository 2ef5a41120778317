"""The lake's own file: an id that the database knows too, so no other folder is mistaken for the lake."""

import json
from uuid import UUID

IDENTITY_NAME = "lake.json"
MAX_IDENTITY_BYTES = 1_000
WHAT_TO_DO = "mount the right lake or correct LAKE_URL; to use this one as it is, run `manage.py set_up_lake`"


def encode_identity(lake_id: UUID) -> bytes:
    """Return the file's content; always the same for an id, so that two who write it do not conflict."""
    return json.dumps({"lake_id": str(lake_id)}).encode() + b"\n"


def decode_identity(data: bytes) -> UUID | None:
    """Return the id in a file's content, None when it holds none."""
    try:
        return UUID(json.loads(data)["lake_id"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
