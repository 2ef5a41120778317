"""Reads a server's error response: its message, and how long to wait before the next call."""

import asyncio
import re
from collections.abc import Callable

from derive.errors import ModelCrashed
from derive.model_servers.access import Credentials
from derive.model_servers.connections import Response
from derive.model_servers.failures import FOREIGN_ERRORS
from derive.model_servers.wire import NO_REASON, error_text, parse_received, quotable

_MAX_ERROR_BYTES = 64 * 1024


async def read_refusal(
    response: Response, *, credentials: Credentials, within_seconds: float, sink: Callable[[bytes], object]
) -> str:
    """Return the server's error message, limited in length; a broken body is ignored, since the status decides.

    ``sink`` receives the body without any copy of our credentials.
    """
    if encoding_of(response) is not None:
        return NO_REASON
    received = bytearray()
    limit = asyncio.timeout(within_seconds)
    try:
        async with limit:
            while chunk := await response.read_some():
                received += chunk
                if len(received) > _MAX_ERROR_BYTES:
                    break
    except FOREIGN_ERRORS:
        pass
    except TimeoutError:
        if not limit.expired():
            raise
    said = credentials.removed_from(bytes(received))
    if said:
        sink(said)
    try:
        return error_text(parse_received(said))
    except ModelCrashed:
        return quotable(said.decode(errors="replace")) or NO_REASON


def retry_after_seconds(response: Response) -> float | None:
    """Return the seconds of ``Retry-After``; None for a date or anything else that is not a number."""
    said = response.headers.get("retry-after", "").strip()
    return float(said) if re.fullmatch(r"[0-9]{1,6}", said) else None


def encoding_of(response: Response) -> str | None:
    """Return the body's content encoding; None if it is not compressed."""
    encoding: str = response.headers.get("content-encoding", "").strip().lower()
    return None if encoding in ("", "identity") else encoding
