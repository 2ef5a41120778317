"""Strict JSON to and from a model server, and the sanitising of a server's messages.

What a server sends is untrusted: it may contain control characters, be endless, or repeat a URL with a password.
"""

import json
import re
import unicodedata
from typing import Any, NoReturn

from derive.errors import InvalidInput, ModelCrashed

MAX_QUOTED_CHARACTERS = 300
NO_REASON = "no reason given"
_MESSAGE_MEMBERS = ("error", "message", "detail")
"""Members in which servers put error messages; the first is Ollama's and OpenAI's, the last FastAPI's."""
_MAX_WRAPPINGS = 4
_USERINFO = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://)[^/?#\s]*@")


def quotable(text: str) -> str:
    """Return a server's message as one line of limited length, without control characters, bidi marks or passwords."""
    start = text[: 4 * MAX_QUOTED_CHARACTERS]
    plain = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in start)
    shown = without_credentials(" ".join(plain.split()))
    return shown if len(shown) <= MAX_QUOTED_CHARACTERS else f"{shown[:MAX_QUOTED_CHARACTERS]}…"


def without_credentials(url: str) -> str:
    """Return the text with user names and passwords removed from all URLs."""
    return _USERINFO.sub(r"\1", url)


def error_text(answer: Any) -> str:
    """Return the message of an error of Ollama (``{"error": "…"}``) or llama.cpp (``{"error": {"message": "…"}}``).

    Ollama embeds its runner's error as JSON in its own message, so the innermost message is returned.
    """
    shown = NO_REASON
    for _ in range(_MAX_WRAPPINGS):
        error = next(filter(None, map(answer.get, _MESSAGE_MEMBERS)), None) if isinstance(answer, dict) else None
        if isinstance(error, dict):
            error = error.get("message")
        if not isinstance(error, str) or not error.strip():
            break
        shown, answer = error, _wrapped_in(error)
    return quotable(shown)


def _wrapped_in(text: str) -> dict[str, Any] | None:
    """Return the error embedded as JSON in a text, ignoring any prefix (``do request: {"error": …}``)."""
    _, brace, rest = text.partition('{"error"')
    if not brace:
        return None
    try:
        inner, _ = _DECODER.raw_decode(brace + rest)
    except (ValueError, RecursionError):
        return None
    error = inner.get("error")
    message = error.get("message") if isinstance(error, dict) else error
    return inner if isinstance(message, str) and message.strip() else None


def dump_json(value: Any) -> bytes:
    """Return compact JSON, escaped where it could not be encoded otherwise; raise ModelCrashed if nested too deeply."""
    try:
        try:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        except UnicodeEncodeError:
            return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    except RecursionError:
        raise ModelCrashed("the model server sent JSON that is nested too deeply") from None


def dump_request(request: dict[str, Any]) -> bytes:
    """Return the exact bytes of a request; raise InvalidInput if it contains text that is not valid Unicode."""
    try:
        return json.dumps(request, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError:
        raise InvalidInput("the prompt holds half of a surrogate pair, which is no character") from None


def parse_received(text: bytes) -> Any:
    """Parse JSON from a server, which must be valid UTF-8 with finite numbers; else raise ModelCrashed."""
    try:
        return _DECODER.decode(text.decode())
    except UnicodeDecodeError:
        raise ModelCrashed("the model server sent bytes that are not UTF-8") from None
    except (ValueError, RecursionError):
        raise ModelCrashed("the model server sent a line that is not JSON, or was cut") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number beyond what a float can hold")
    return number


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
"""Created once, because ``json.loads`` with hooks creates a new decoder for every line."""
