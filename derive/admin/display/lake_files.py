"""Lake files for a page: bounded in size and checked against their recorded hash."""

import hashlib
import json
from dataclasses import dataclass

from django.conf import settings

from derive.errors import LakeError, LakeUnavailable
from derive.lake import Lake
from derive.models import Artifact

MAX_SHOWN_BYTES = 2 << 20


@dataclass(frozen=True)
class FileText:
    """A file's text, or why there is none. A ``fault`` is shown prominently beside any text."""

    text: str = ""
    fault: str = ""


def lake() -> Lake:
    """Return the lake from the settings."""
    return Lake.open(settings.LAKE_URL)


def raw_answer(response: str) -> str:
    """Return the model's answer from a stored response of either protocol; the response itself if it is neither."""
    try:
        whole = json.loads(response)
    except (ValueError, RecursionError):
        return response
    choices = whole.get("choices") if isinstance(whole, dict) else None
    if isinstance(choices, list) and choices:
        whole = choices[0]
    message = whole.get("message") if isinstance(whole, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    return content if isinstance(content, str) else response


def read_shown(artifact: Artifact) -> FileText:
    """Return an artifact's text for a page, with bytes that are not UTF-8 replaced; never raises for a bad file."""
    try:
        data = lake().read(artifact.lake_uri, max_bytes=MAX_SHOWN_BYTES)
    except (LakeError, LakeUnavailable) as error:
        return FileText(fault=f"{artifact.lake_uri} cannot be shown: {error}")
    fault = ""
    if hashlib.sha256(data).hexdigest() != artifact.content_sha256:
        fault = f"{artifact.lake_uri} is NOT what was recorded: its SHA-256 differs. Do not trust its content."
    return FileText(text=data.decode(errors="replace"), fault=fault)
