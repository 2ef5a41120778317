"""What became of a call to Ollama, as one error of ours: every status that is not 200, every exception of httpx.

Where the contract's table is silent:

- 400: a prompt that does not fit is EvidenceTooLarge; a name that Ollama cannot read is a model that is not there;
  the rest (a bad option) is a fault of our own request: InternalError, which is counted and ends as a dead letter, so
  that no job circles for ever.
- 400, 422 or 500 that speaks of the grammar made from the schema is SchemaRefused: it is the same for every job.
- 413 is EvidenceTooLarge: Ollama's newer answer to a prompt that does not fit, and a proxy's to a large body.
- 401, 403, 407 and 502 are ModelUnavailable: no job can be served until somebody changes a setting or the server.
  So is 400 from a server that wants https. 429 is ModelOverloaded.
- A certificate that is refused, and any other TLS handshake that fails, is ModelUnavailable; its text says what to set.
- 408 and 504 are ModelTimeout. 499 (cancelled while queued, though nobody here cancelled) is ModelCrashed.
"""

import re
import ssl

import httpx

from derive.errors import (
    OUT_OF_FILES,
    EvidenceTooLarge,
    InternalError,
    ModelCrashed,
    ModelNotFound,
    ModelOverloaded,
    ModelTimeout,
    ModelUnavailable,
    RunError,
    SchemaRefused,
    is_out_of_files,
)
from derive.ollama.wire import quotable

_PROMPT_TOO_LONG = re.compile(
    r"prompt (is )?too long|input (is )?too long|input length|exceed\w*\b.{0,80}\bcontext|context\b.{0,80}\bexceed",
    re.IGNORECASE,
)
"""Ollama: 'the input length exceeds the context length', 'prompt too long; exceeded max context length by 9 tokens';
its llama.cpp runner: 'request (9 tokens) exceeds the available context size (8 tokens)'."""

_SCHEMA_REFUSED = re.compile(
    r"initiali[sz]e samplers|(pars|creat|compil|load)\w*\b.{0,80}\bgrammar|grammar\b.{0,40}\b(error|fail|invalid)"
    r"|json.?schema|invalid format|vocabulary required for format",
    re.IGNORECASE,
)
"""Ollama: 'invalid JSON schema in format', 'invalid format: …; expected "json" or a valid JSON Schema object'; its
llama.cpp runner: 'Failed to initialize samplers: failed to parse grammar', 'JSON schema conversion failed: …'."""

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

_WANTS_HTTPS = re.compile(r"\bHTTP request\b.{0,20}\bto\b.{0,10}\bHTTPS (server|port)", re.IGNORECASE)
"""Go: 'Client sent an HTTP request to an HTTPS server.'; nginx: 'The plain HTTP request was sent to HTTPS port'."""

_ADVICE_ON_STATUS = {
    401: ": set OLLAMA_API_KEY, or user and password in OLLAMA_BASE_URL, to what the server accepts",
    403: ": set OLLAMA_API_KEY, or user and password in OLLAMA_BASE_URL, to an account that the server lets in",
}
_ADVICE: dict[type[RunError], str] = {
    ModelUnavailable: ": check OLLAMA_BASE_URL and any proxy in front of the server; redirects are not followed",
    SchemaRefused: ": correct the schema in a new version; `manage.py check_interrogations` asks the server",
    EvidenceTooLarge: ": give less evidence, or raise OLLAMA_NUM_CTX",
}

FOREIGN_ERRORS = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError, ssl.SSLError)
"""The roots of httpx's error tree, and what it lets through of TLS: what the boundary catches while it reads."""

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
    if is_out_of_files(error):
        return ModelUnavailable(f"no connection to Ollama at {server}: {OUT_OF_FILES}")
    why = quotable(str(error)) or type(error).__name__
    tls = _tls_error_in(error)
    if tls is not None and (advice := _tls_advice(tls)) is not None:
        return ModelUnavailable(f"no secure connection to Ollama at {server}: {advice}")
    if isinstance(error, _OUR_FAULT):
        return InternalError(f"the call to Ollama at {server} was not made right: {type(error).__name__}: {why}")
    if isinstance(error, _UNREACHABLE) and not isinstance(error, ssl.SSLError):
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
    if status == 400 and _WANTS_HTTPS.search(text):
        return ModelUnavailable(f"Ollama at {server} speaks TLS only: write https:// in OLLAMA_BASE_URL")
    if status == 400 and _PROMPT_TOO_LONG.search(text):
        kind: type[RunError] = EvidenceTooLarge
    elif status in (400, 422, 500) and _SCHEMA_REFUSED.search(text):
        kind = SchemaRefused
    else:
        kind = _KIND_OF_STATUS.get(status) or _KIND_OF_CLASS.get(status // 100, ModelCrashed)
    advice = _ADVICE_ON_STATUS.get(status) or _ADVICE.get(kind, "")
    return kind(f"Ollama at {server} answered {status}: {text}{advice}")


def failure_in_stream(text: str) -> RunError:
    """Return our error for an error line inside a 200; ``text`` is what the server says, made quotable."""
    kind = SchemaRefused if _SCHEMA_REFUSED.search(text) else ModelCrashed
    return kind(f"Ollama broke its answer off: {text}{_ADVICE.get(kind, '')}")


def model_missing(model: str, *, server: str, job_has_own_model: bool) -> RunError:
    """Return the error for a model that the server does not have."""
    name = quotable(model)
    if job_has_own_model:
        return ModelNotFound(f"Ollama at {server} has no model '{name}': run `ollama pull {name}`, then requeue")
    return ModelUnavailable(f"Ollama at {server} has no model '{name}': run `ollama pull {name}`, or set OLLAMA_MODEL")


def model_unfit(model: str, why: str, *, server: str, job_has_own_model: bool) -> RunError:
    """Return the error for a model that is there and cannot be used; ``why`` is its snapshot's ``unfit``."""
    said = f"Ollama at {server} has the model '{quotable(model)}', but it cannot be used: {why}"
    if job_has_own_model:
        return ModelNotFound(f"{said}: ask for another in a new job")
    return ModelUnavailable(f"{said}: set OLLAMA_MODEL to another")


_ANOTHER_NAME = (62, 64)
_NOT_AT_THIS_TIME = (9, 10)
"""OpenSSL's ``X509_V_ERR_*``, as ``verify_code`` gives them: host name or address mismatch; not yet valid, expired."""


def _tls_error_in(error: BaseException) -> ssl.SSLError | None:
    """Return the error of TLS that another one stands for, if any."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, ssl.SSLError):
        seen = seen.__cause__ or seen.__context__
    return seen


def _tls_advice(error: ssl.SSLError) -> str | None:
    """Say what was refused and what to set; None when the connection merely broke."""
    if isinstance(error, ssl.SSLCertVerificationError):
        refused = f"its certificate is refused ({quotable(error.verify_message)})"
        if error.verify_code in _ANOTHER_NAME:
            return f"{refused}: write a name that the certificate holds in OLLAMA_BASE_URL"
        if error.verify_code in _NOT_AT_THIS_TIME:
            return f"{refused}: renew it, or set this machine's clock"
        return f"{refused}: set OLLAMA_CA_FILE to a PEM file of the authority that signed it"
    reason = error.reason or ""
    if "ALERT" in reason:
        # Sent by the server during the handshake, or right after it where it misses the client's certificate.
        return f"the server refused the TLS handshake ({reason}); Holocron sends no client certificate"
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return "what answers there speaks no TLS: write http:// in OLLAMA_BASE_URL, or the port that speaks it"
    return None
