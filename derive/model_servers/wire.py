"""What goes over the wire to a model server and back: strict JSON, and a server's words made fit to be shown.

What a server sends is untrusted: it may hold control characters, be endless, or repeat a URL with a password in it.
"""

import json
import re
import unicodedata
from typing import Any, NoReturn

from derive.errors import InvalidInput, ModelCrashed

MAX_QUOTED_CHARACTERS = 300
NO_REASON = "no reason given"
_MESSAGE_MEMBERS = ("error", "message", "detail")
"""Where servers put what they have to say; the first is Ollama's and OpenAI's, the last FastAPI's."""
_MAX_WRAPPINGS = 4
_USERINFO = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://)[^/?#\s]*@")


def quotable(text: str) -> str:
    """Return a server's words on one line: bounded, without control characters, direction marks or passwords."""
    start = text[: 4 * MAX_QUOTED_CHARACTERS]
    plain = "".join(" " if unicodedata.category(character)[0] in "CZ" else character for character in start)
    shown = without_credentials(" ".join(plain.split()))
    return shown if len(shown) <= MAX_QUOTED_CHARACTERS else f"{shown[:MAX_QUOTED_CHARACTERS]}…"


def without_credentials(url: str) -> str:
    """Return the text with the user name and password cut out of every URL in it."""
    return _USERINFO.sub(r"\1", url)


def error_text(answer: Any) -> str:
    """Return what an error of Ollama (``{"error": "…"}``) or llama.cpp (``{"error": {"message": "…"}}``) says.

    Ollama puts its runner's error, as JSON, into the text of its own: what is shown is the innermost text.
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
    """Return the error that a text holds as JSON, whatever stands before it (``do request: {"error": …}``)."""
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
    """Return compact JSON; escaped where the text could not be encoded otherwise. Raises ModelCrashed if too deep."""
    try:
        try:
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
        except UnicodeEncodeError:
            return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    except RecursionError:
        raise ModelCrashed("the model server sent JSON that is nested too deeply") from None


def dump_request(request: dict[str, Any]) -> bytes:
    """Return the exact bytes of a request; raise InvalidInput when it holds what is no Unicode text."""
    try:
        return json.dumps(request, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except UnicodeEncodeError:
        raise InvalidInput("the prompt holds half of a surrogate pair, which is no character") from None


def parse_received(text: bytes) -> Any:
    """Parse JSON that a server sent: strict UTF-8, finite numbers. Raises ModelCrashed otherwise."""
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
"""Made once: ``json.loads`` with hooks makes a new decoder for every line."""
