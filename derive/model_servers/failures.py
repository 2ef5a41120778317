"""Maps every failed call to a model server (any status but 200, any exception of httpx) to one of our errors.

Beyond the contract's table:

- 400: a prompt that does not fit is EvidenceTooLarge; a name that the server cannot parse is a missing model; anything
  else (a bad option) is a fault of our request and InternalError, which is counted and ends as a dead letter, so that
  no job is retried forever.
- 400, 422 or 500 that mentions the schema's grammar is SchemaRefused, which affects every job of the interrogation.
- 413 is EvidenceTooLarge: Ollama's newer answer to a prompt that does not fit, and a proxy's to a large body.
- 401 and 403 are ModelAccessRefused, 407 and 502 ModelUnavailable: no job can be served until somebody changes a
  setting or the server. The same goes for 400 from a server that expects https. 429 is ModelOverloaded.
- A rejected certificate, or any other failed TLS handshake, is ModelUnavailable; its text says what to set.
- 408 and 504 are ModelTimeout. 499 (cancelled while queued, though nobody here cancelled) is ModelCrashed.
"""

import re
import ssl

import httpx

from derive.errors import (
    OUT_OF_FILES,
    EvidenceTooLarge,
    InternalError,
    ModelAccessRefused,
    ModelCrashed,
    ModelNotFound,
    ModelOverloaded,
    ModelTimeout,
    ModelUnavailable,
    RunError,
    SchemaRefused,
    is_out_of_files,
)
from derive.model_servers.names import ServerNames
from derive.model_servers.wire import quotable

_PROMPT_TOO_LONG = re.compile(
    r"prompt (is )?too long|input (is )?too long|input length|exceed\w*\b.{0,80}\bcontext|context\b.{0,80}\bexceed"
    r"|maximum context length|maximum model length",
    re.IGNORECASE,
)
"""Ollama: 'the input length exceeds the context length', 'prompt too long; exceeded max context length by 9 tokens';
its llama.cpp runner: 'request (9 tokens) exceeds the available context size (8 tokens)'. vLLM: 'This model's maximum
context length is 4096 tokens. However, you requested 5000 tokens'."""

_SCHEMA_REFUSED = re.compile(
    r"initiali[sz]e samplers|(pars|creat|compil|load)\w*\b.{0,80}\bgrammar|grammar\b.{0,40}\b(error|fail|invalid)"
    r"|json.?schema|invalid format|vocabulary required for format|response_format",
    re.IGNORECASE,
)
"""Ollama: 'invalid JSON schema in format', 'invalid format: …; expected "json" or a valid JSON Schema object'; its
llama.cpp runner: 'Failed to initialize samplers: failed to parse grammar', 'JSON schema conversion failed: …'."""

_NO_SUCH_NAME = re.compile(r"model is required|invalid model name|model\b.{0,300}\bnot found", re.IGNORECASE)
_KIND_OF_STATUS: dict[int, type[RunError]] = {
    401: ModelAccessRefused,
    403: ModelAccessRefused,
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
"""By the first digit of the status; all others (other 2xx, other 5xx) are ModelCrashed."""

_WANTS_HTTPS = re.compile(r"\bHTTP request\b.{0,20}\bto\b.{0,10}\bHTTPS (server|port)", re.IGNORECASE)
"""Go: 'Client sent an HTTP request to an HTTPS server.'; nginx: 'The plain HTTP request was sent to HTTPS port'."""

FOREIGN_ERRORS = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, httpx.StreamError, ssl.SSLError)
"""The roots of httpx's error tree and the TLS errors it does not wrap; caught while reading."""

FOREIGN_CONNECT_ERRORS = (*FOREIGN_ERRORS, OSError, UnicodeError)
"""Also what is raised unwrapped while connecting, such as UnicodeError for a host name that IDNA cannot encode."""

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


def failure_of_exception(error: Exception, *, names: ServerNames) -> RunError:
    """Return our error for one of httpx's."""
    server = names.server
    if is_out_of_files(error):
        return ModelUnavailable(f"no connection to {server}: {OUT_OF_FILES}")
    why = quotable(str(error)) or type(error).__name__
    tls = _tls_error_in(error)
    if tls is not None and (advice := _tls_advice(tls, names)) is not None:
        return ModelUnavailable(f"no secure connection to {server}: {advice}")
    if isinstance(error, _OUR_FAULT):
        return InternalError(f"the call to {server} was not made right: {type(error).__name__}: {why}")
    if isinstance(error, _UNREACHABLE) and not isinstance(error, ssl.SSLError):
        return ModelUnavailable(f"no connection to {server} ({why}): {names.start}, or set {names.url}")
    if isinstance(error, httpx.TimeoutException):
        return ModelTimeout(f"{server} stopped reading or sending ({type(error).__name__})")
    broke = ModelCrashed(f"the connection to {server} broke ({why})")
    broke.connection_broke = True
    return broke


def failure_of_status(
    status: int,
    text: str,
    *,
    model: str,
    names: ServerNames,
    job_has_own_model: bool,
    retry_after_seconds: float | None = None,
) -> RunError:
    """Return our error for a status that is not 200; ``text`` is the server's sanitised message."""
    if status == 404 or (status == 400 and _NO_SUCH_NAME.search(text)):
        return model_missing(model, names=names, job_has_own_model=job_has_own_model)
    if status == 400 and _WANTS_HTTPS.search(text):
        return ModelUnavailable(f"{names.server} speaks TLS only: write https:// in {names.url}")
    if status in (400, 422) and _PROMPT_TOO_LONG.search(text):
        kind: type[RunError] = EvidenceTooLarge
    elif status in (400, 422, 500) and _SCHEMA_REFUSED.search(text):
        kind = SchemaRefused
    else:
        kind = _KIND_OF_STATUS.get(status) or _KIND_OF_CLASS.get(status // 100, ModelCrashed)
    error = kind(f"{names.server} answered {status}: {text}{_advice(kind, names)}")
    if isinstance(error, ModelOverloaded):
        error.retry_after_seconds = retry_after_seconds
    return error


def failure_in_stream(text: str) -> RunError:
    """Return our error for an error inside a 200 response; ``text`` is the server's sanitised message."""
    kind = SchemaRefused if _SCHEMA_REFUSED.search(text) else ModelCrashed
    return kind(f"the model server broke its answer off: {text}{_SCHEMA_ADVICE if kind is SchemaRefused else ''}")


def model_missing(model: str, *, names: ServerNames, job_has_own_model: bool) -> RunError:
    """Return the error for a model that the server does not have."""
    said = f"{names.server} has no model '{quotable(model)}': {names.how_to_get(model)}"
    if job_has_own_model:
        return ModelNotFound(f"{said}, then requeue")
    return ModelUnavailable(f"{said}, or set {names.model}")


def model_unfit(model: str, why: str, *, names: ServerNames, job_has_own_model: bool) -> RunError:
    """Return the error for a model that exists but cannot be used; ``why`` is its snapshot's ``unfit``."""
    said = f"{names.server} has the model '{quotable(model)}', but it cannot be used: {why}"
    if job_has_own_model:
        return ModelNotFound(f"{said}: ask for another in a new job")
    return ModelUnavailable(f"{said}: set {names.model} to another")


_SCHEMA_ADVICE = ": correct the schema in a new version; `manage.py check_interrogations` asks the server"


def _advice(kind: type[RunError], names: ServerNames) -> str:
    if kind is ModelAccessRefused:
        return f": set {names.key} to what the server accepts"
    if kind is ModelUnavailable:
        return f": check {names.url} and any proxy in front of the server; redirects are not followed"
    if kind is SchemaRefused:
        return _SCHEMA_ADVICE
    return ": give less evidence, or raise OLLAMA_NUM_CTX" if kind is EvidenceTooLarge else ""


_ANOTHER_NAME = (62, 64)
_NOT_AT_THIS_TIME = (9, 10)
"""OpenSSL's ``X509_V_ERR_*``, as ``verify_code`` gives them: host name or address mismatch; not yet valid, expired."""


def _tls_error_in(error: BaseException) -> ssl.SSLError | None:
    """Return the TLS error that caused another error, if any."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, ssl.SSLError):
        seen = seen.__cause__ or seen.__context__
    return seen


def _tls_advice(error: ssl.SSLError, names: ServerNames) -> str | None:
    """Return what was rejected and what to set; None if the connection merely broke."""
    if isinstance(error, ssl.SSLCertVerificationError):
        refused = f"its certificate is refused ({quotable(error.verify_message)})"
        if error.verify_code in _ANOTHER_NAME:
            return f"{refused}: write a name that the certificate holds in {names.url}"
        if error.verify_code in _NOT_AT_THIS_TIME:
            return f"{refused}: renew it, or set this machine's clock"
        return f"{refused}: set {names.ca_file} to a PEM file of the authority that signed it"
    reason = error.reason or ""
    if "ALERT" in reason:
        # Sent by the server during the handshake, or right after it if the client's certificate is missing.
        return f"the server refused the TLS handshake ({reason}); Holocron sends no client certificate"
    if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
        return f"what answers there speaks no TLS: write http:// in {names.url}, or the port that speaks it"
    return None
