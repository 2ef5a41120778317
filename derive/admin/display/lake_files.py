"""Files of the lake for a page: bounded, and held against their hash on the way out."""

import hashlib
from dataclasses import dataclass

from django.conf import settings

from derive.errors import LakeError, LakeUnavailable
from derive.lake import Lake
from derive.models import Artifact

MAX_SHOWN_BYTES = 2 << 20


@dataclass(frozen=True)
class Shown:
    """A file's text, or why there is none; ``fault`` stands loudly beside whatever text there is."""

    text: str = ""
    fault: str = ""


def lake() -> Lake:
    """Return the lake the settings name."""
    return Lake.open(settings.LAKE_URL)


def read_shown(artifact: Artifact) -> Shown:
    """Return an artifact's text for a page, bytes that are no UTF-8 replaced; never raises for a bad file."""
    try:
        data = lake().read(artifact.lake_uri, max_bytes=MAX_SHOWN_BYTES)
    except (LakeError, LakeUnavailable) as error:
        return Shown(fault=f"{artifact.lake_uri} cannot be shown: {error}")
    fault = ""
    if hashlib.sha256(data).hexdigest() != artifact.content_sha256:
        fault = f"{artifact.lake_uri} is NOT what was recorded: its SHA-256 differs. Do not trust its content."
    return Shown(text=data.decode(errors="replace"), fault=fault)
