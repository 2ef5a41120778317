"""What became of a call to Ollama, as one error of ours: every status that is not 200, every exception of httpx.

Where the contract's table is silent:

- 400: a prompt that does not fit is EvidenceTooLarge; a name that Ollama cannot read is a model that is not there;
  the rest (a schema its grammar refuses, a bad option) is a fault of our own request: InternalError, which is
  counted and ends as a dead letter, so that no job circles for ever.
- 413 is EvidenceTooLarge: Ollama's newer answer to a prompt that does not fit, and a proxy's to a large body.
- 401, 403, 407 and 502 are ModelUnavailable: the door is shut, whatever the job. 429 is ModelOverloaded.
- 408 and 504 are ModelTimeout. 499 (cancelled while queued, though nobody here cancelled) is ModelCrashed.
"""

import re

import httpx

from derive.errors import (
    EvidenceTooLarge,
    InternalError,
    ModelCrashed,
    ModelNotFound,
    ModelOverloaded,
    ModelTimeout,
    ModelUnavailable,
    RunError,
)
from derive.ollama.wire import quotable

_PROMPT_TOO_LONG = re.compile(
    r"prompt (is )?too long|input (is )?too long|input length|exceed\w*\b.{0,80}\bcontext|context\b.{0,80}\bexceed",
    re.IGNORECASE,
)
"""Ollama: 'the input length exceeds the context length', 'prompt too long; exceeded max context length by 9 tokens';
its llama.cpp runner: 'request (9 tokens) exceeds the available context size (8 tokens)'."""

_NO_SUCH_NAME = re.compile(r"model is required|invalid model name|model\b.{0,300}\bnot found", re.IGNORECASE)
_KIND_OF_STATUS: dict[int, type[RunError]] = {
    401: ModelUnavailable,
    403: ModelUnavailable,
    407: ModelUnavailable,
    408: ModelTimeout,
    413: EvidenceTooLarge,
    429: ModelOverloaded,
    499: ModelCrashed,
    502: ModelUnavailable,
    503: ModelOverloaded,
    504: ModelTimeout,
}
_KIND_OF_CLASS: dict[int, type[RunError]] = {3: ModelUnavailable, 4: InternalError}
"""By the status's first digit; the rest (another 2xx, another 5xx) is ModelCrashed."""

_ADVICE: dict[type[RunError], str] = {
    ModelUnavailable: ": check OLLAMA_BASE_URL and what stands before the server; redirects are not followed",
    EvidenceTooLarge: ": give less evidence, or raise OLLAMA_NUM_CTX",
}

FOREIGN_ERRORS = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError)
"""The roots of httpx's error tree: what the boundary catches while it reads."""

FOREIGN_CONNECT_ERRORS = (*FOREIGN_ERRORS, OSError, UnicodeError)
"""And what comes through bare while it connects: a host name that IDNA cannot encode is a UnicodeError."""

_UNREACHABLE = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.TooManyRedirects,
    httpx.InvalidURL,
    OSError,
    UnicodeError,
)
_OUR_FAULT = (httpx.PoolTimeout, httpx.LocalProtocolError, httpx.StreamError, httpx.CookieConflict)


def failure_of_exception(error: Exception, *, server: str) -> RunError:
    """Return our error for one of httpx's; ``server`` is the base URL as it may be shown."""
    why = quotable(str(error)) or type(error).__name__
    if isinstance(error, _OUR_FAULT):
        return InternalError(f"the call to Ollama at {server} was not made right: {type(error).__name__}: {why}")
    if isinstance(error, _UNREACHABLE):
        return ModelUnavailable(
            f"no connection to Ollama at {server} ({why}): start it with `ollama serve`, or set OLLAMA_BASE_URL"
        )
    if isinstance(error, httpx.TimeoutException):
        return ModelTimeout(f"Ollama at {server} stopped reading or sending ({type(error).__name__})")
    return ModelCrashed(f"the connection to Ollama at {server} broke ({why})")


def failure_of_status(status: int, text: str, *, model: str, server: str, job_has_own_model: bool) -> RunError:
    """Return our error for an answer that is not 200; ``text`` is what the server says of it, made quotable."""
    if status == 404 or (status == 400 and _NO_SUCH_NAME.search(text)):
        return model_missing(model, server=server, job_has_own_model=job_has_own_model)
    if status == 400 and _PROMPT_TOO_LONG.search(text):
        kind: type[RunError] = EvidenceTooLarge
    else:
        kind = _KIND_OF_STATUS.get(status) or _KIND_OF_CLASS.get(status // 100, ModelCrashed)
    return kind(f"Ollama at {server} answered {status}: {text}{_ADVICE.get(kind, '')}")


def model_missing(model: str, *, server: str, job_has_own_model: bool) -> RunError:
    """Return the error for a model that the server does not have."""
    name = quotable(model)
    if job_has_own_model:
        return ModelNotFound(f"Ollama at {server} has no model '{name}': run `ollama pull {name}`, then requeue")
    return ModelUnavailable(f"Ollama at {server} has no model '{name}': run `ollama pull {name}`, or set OLLAMA_MODEL")
