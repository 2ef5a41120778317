"""The environment variables of Holocron, and the parsing of their values.

Pure functions over a mapping; only ``holocron.settings`` passes in the process's environment. Every variable is
declared once, in ``VARIABLES``, with the default and the unit that ``.env.example`` repeats. An invalid value raises
SettingsError, which names the variable, its value, and what to write instead.

``pydantic-settings`` was rejected: it would only replace the loop in ``read_environment``, because the advice, the
white space and the secrets would remain ours, and every command would start 0.2 s of processor time later.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})
LOG_FORMATS = ("text", "json")
LAKE_SCHEMES = ("file", "s3", "abfs", "abfss", "memory")
# An error shows the value only if it cannot be a secret.
SECRET_VARIABLES = frozenset(
    {
        "SECRET_KEY",
        "DATABASE_URL",
        "DATABASE_PASSWORD",
        "HOLOCRON_WORKER_PASSWORD",
        "HOLOCRON_WEB_PASSWORD",
        "HOLOCRON_ADMIN_PASSWORD",
        "LAKE_URL",
        "OLLAMA_API_KEY",
        "ALERT_WEBHOOK_URL",
        "ALERT_WEBHOOK_SECRET",
        "EMAIL_PASSWORD",
    }
)
MAX_INT = 2**31 - 1
# The size of run.ollama_base_url.
MAX_ADDRESS_CHARACTERS = 400
MAX_ADDRESSES = 20


class SettingsError(Exception):
    """An environment variable has an unusable value; the text says what to write."""


@dataclass(frozen=True, kw_only=True)
class Variable:
    """One variable: ``default`` is the text used if it is unset, and ``meaning`` ends with the unit.

    Outer white space is stripped from the value, unless it is ``verbatim``.
    """

    name: str
    default: str
    meaning: str
    parse: Callable[[str], Any]
    verbatim: bool = False


def _text(text: str) -> str:
    return text


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("write printable characters only")
    return text


def _path(text: str) -> str:
    """Return a path with a leading ``~`` expanded, which no shell does for variables in a file."""
    try:
        return str(Path(_printable(text)).expanduser()) if text.startswith("~") else _printable(text)
    except RuntimeError:
        raise ValueError("write a path; the user that its ~ names has no home folder") from None


def _password(text: str) -> str:
    if re.search(r"[\x00-\x1f\x7f]", text):
        raise ValueError("write no control characters")
    return text


def _flag(text: str) -> bool:
    word = text.lower()
    if word in TRUE_WORDS:
        return True
    if word in FALSE_WORDS:
        return False
    raise ValueError("write true or false")


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        # int() would also accept '1_000' and digits of other scripts.
        if not re.fullmatch(r"-?[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"write a whole number from {low} to {high}")
        return int(text)

    return parse


def _number(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text) or not low <= float(text) <= high:
            raise ValueError(f"write a number from {low:g} to {high:g}")
        return float(text)

    return parse


def _optional(parse: Callable[[str], float]) -> Callable[[str], float | None]:
    return lambda text: parse(text) if text else None


def _one_of(*words: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(f"write {' or '.join(words)}")
        return text

    return parse


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _hosts(text: str) -> tuple[str, ...]:
    hosts = _names(text)
    if any("/" in host or " " in host for host in hosts):
        raise ValueError("write host names with commas between them, no http:// and no path: holocron.example,10.0.0.5")
    return hosts


def _origins(text: str) -> tuple[str, ...]:
    origins = _names(text)
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path or parts.query:
            raise ValueError("write origins with commas between them: https://holocron.example")
    return origins


def _base_url(text: str) -> str:
    wanted = (
        f"write an address such as http://127.0.0.1:11434 or https://user:password@host (percent-encode special "
        f"characters), without query or fragment, at most {MAX_ADDRESS_CHARACTERS} characters"
    )
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  # reading the property validates the port
    except ValueError:
        raise ValueError(wanted) from None
    plain = text.isprintable() and not re.search(r"\s", text) and not (parts.query or parts.fragment)
    if parts.scheme not in {"http", "https"} or not parts.hostname or not plain or len(text) > MAX_ADDRESS_CHARACTERS:
        raise ValueError(wanted)
    return text.rstrip("/")


def webhook_url(text: str) -> str:
    """Return the URL of a webhook, whose path and query may hold a token; raise ValueError."""
    wanted = "write an http:// or https:// URL without blanks and without a fragment"
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018  # reading it is what checks it
    except ValueError:
        raise ValueError(wanted) from None
    if text and (
        parts.scheme not in {"http", "https"} or not parts.hostname or parts.fragment or not _is_visible_ascii(text)
    ):
        raise ValueError(wanted)
    return text


def _is_visible_ascii(text: str) -> bool:
    return re.fullmatch(r"[\x21-\x7e]*", text) is not None


def _public_url(text: str) -> str:
    if not text:
        return text
    origins = _origins(text.rstrip("/"))
    if len(origins) != 1 or not _is_visible_ascii(text) or "@" in text:
        raise ValueError("write the site's origin: https://holocron.example")
    return origins[0]


def _address(text: str) -> str:
    if not re.fullmatch(r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[A-Za-z0-9.-]{1,189}", text, re.ASCII):
        raise ValueError("write an address such as ops@example.com")
    return text


def _addresses(text: str) -> tuple[str, ...]:
    addresses = tuple(dict.fromkeys(_address(name) for name in _names(text)))
    if len(addresses) > MAX_ADDRESSES:
        raise ValueError(f"write at most {MAX_ADDRESSES} addresses; a mailing list reaches more people")
    return addresses


def _mail_host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]*", text) or "//" in text or len(text) > 253:
        raise ValueError("write a host name, without a port: smtp.example.com")
    return text


def _api_key(text: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]*", text):
        raise ValueError("write only the key, in ASCII, without spaces")
    return text


def _keep_alive(text: str) -> str:
    if not re.fullmatch(r"-1|0|([0-9]{1,9}(ms|s|m|h))+", text):
        raise ValueError("write a time such as 5m, 30s or 1h30m, 0 to unload at once, -1 to keep the model loaded")
    return text


def _lake_url(text: str) -> str:
    scheme, mark, _ = text.partition("://")
    if mark and scheme not in LAKE_SCHEMES:
        raise ValueError(f"write a folder, or an address that begins with one of {', '.join(LAKE_SCHEMES)} and ://")
    return _printable(text) if mark else _path(text)


def _worker_id(text: str) -> str:
    if len(text) > 200 or text != text.strip():
        raise ValueError("write at most 200 characters, without leading or trailing spaces")
    return _printable(text)


def _declare(name: str, default: str, parse: Callable[[str], Any], meaning: str) -> Variable:
    return Variable(name=name, default=default, meaning=meaning, parse=parse)


def _declare_password(name: str, meaning: str) -> Variable:
    return Variable(name=name, default="", meaning=meaning, parse=_password, verbatim=True)


VARIABLES: tuple[Variable, ...] = (
    _declare(
        "DATABASE_URL",
        "",
        _text,
        "the database: mssql://user:password@host:1433/Holocron?Encrypt=yes or postgresql://user:password@host:5432/holocron"
        " (percent-encode special characters); empty: the embedded PostgreSQL",
    ),
    _declare_password(
        "DATABASE_PASSWORD", "the password for DATABASE_URL, unencoded, if the URL holds none; empty: none"
    ),
    _declare(
        "DATABASE_PASSWORD_FILE",
        "",
        _path,
        "a file with that password on its first line; relative to the project's folder; empty: none",
    ),
    _declare_password(
        "HOLOCRON_WORKER_PASSWORD",
        "the password that `set_up_database` sets for the login holocron_worker; read only by that command; empty: no "
        "such login",
    ),
    _declare_password(
        "HOLOCRON_WEB_PASSWORD",
        "the password that `set_up_database` sets for the login holocron_web; read only by that command; empty: no "
        "such login",
    ),
    _declare_password(
        "HOLOCRON_ADMIN_PASSWORD",
        "the password of the first superuser, admin, which `set_up_database` creates if there is none; read only by "
        "that command; empty: create none",
    ),
    _declare(
        "HOLOCRON_VAR",
        "var",
        _path,
        "folder for local data (embedded database, lake, secret key); relative to the project's folder",
    ),
    _declare(
        "HOLOCRON_INTERROGATIONS",
        "",
        _path,
        "a folder with your own interrogations; relative to the project's folder; empty: none",
    ),
    _declare(
        "HOLOCRON_REDACTIONS",
        "",
        _path,
        "a TOML file with your own redaction patterns (docs/interrogations.md); relative to the project's folder; "
        "empty: none",
    ),
    _declare(
        "HOLOCRON_SOURCES",
        "",
        _path,
        "a TOML file of the sources that subjects and their texts come from (docs/sources.md); relative to the "
        "project's folder; empty: none",
    ),
    _declare(
        "LAKE_URL",
        "",
        _lake_url,
        "where artifacts are stored: a folder, s3://bucket/path or abfs://container/path; empty: lake in HOLOCRON_VAR",
    ),
    _declare(
        "HOLOCRON_ENDPOINTS",
        "",
        _path,
        "a TOML file of model servers, Ollama's or OpenAI-compatible, all used by one worker (docs/endpoints.md); "
        "relative to the project's folder; empty: the one server at OLLAMA_BASE_URL, with WORKER_CONCURRENCY slots",
    ),
    _declare(
        "OLLAMA_BASE_URL",
        "http://127.0.0.1:11434",
        _base_url,
        "the URL of the Ollama server; https://user:password@host (percent-encode special characters) if a proxy "
        "requires Basic authentication",
    ),
    _declare(
        "OLLAMA_API_KEY",
        "",
        _api_key,
        "the key sent as `Authorization: Bearer`, if the server or a proxy requires one; empty: none",
    ),
    _declare(
        "OLLAMA_API_KEY_FILE",
        "",
        _path,
        "a file with that key on its first line; relative to the project's folder; empty: none",
    ),
    _declare(
        "OLLAMA_CA_FILE",
        "",
        _path,
        "a PEM file with the only CAs trusted for an https:// server; relative to the project's folder; empty: the "
        "public ones, the system's and those of SSL_CERT_FILE",
    ),
    _declare("OLLAMA_MODEL", "llama3.2", _worker_id, "the model for jobs that name none"),
    _declare("OLLAMA_NUM_CTX", "8192", _whole(256, 10_000_000), "the context window; tokens"),
    _declare("OLLAMA_NUM_PREDICT", "2048", _whole(1, 10_000_000), "the longest answer; tokens"),
    _declare("OLLAMA_TEMPERATURE", "0", _number(0, 2), "0 always picks the likeliest token; no unit"),
    _declare("OLLAMA_SEED", "0", _whole(0, MAX_INT), "the sampler's seed; no unit"),
    _declare(
        "OLLAMA_KEEP_ALIVE",
        "5m",
        _keep_alive,
        "how long the model stays loaded after a call, such as 30s, 5m or 1h; 0: unload at once; -1: keep loaded",
    ),
    _declare("OLLAMA_CONNECT_SECONDS", "5", _number(0.1, 3600), "the longest wait for a connection; seconds"),
    _declare(
        "OLLAMA_FIRST_BYTE_SECONDS",
        "600",
        _number(0.1, 86_400),
        "the longest wait for the first byte of an answer, including a cold load of the model; seconds",
    ),
    _declare("OLLAMA_IDLE_SECONDS", "60", _number(0.1, 86_400), "the longest pause within an answer; seconds"),
    _declare("OLLAMA_TIMEOUT_SECONDS", "1800", _number(0.1, 86_400), "the longest call in total; seconds"),
    _declare("WORKER_ID", "", _worker_id, "the worker's id, unique among live workers; empty: host:pid:random"),
    _declare("WORKER_CONCURRENCY", "1", _whole(1, 1000), "answers streamed at the same time by one worker; jobs"),
    _declare("WORKER_GRACE_SECONDS", "30", _number(0, 86_400), "time for running jobs to finish on shutdown; seconds"),
    _declare(
        "MODEL_AFFINITY",
        "on",
        _flag,
        "whether a worker stays with its current model while jobs of the highest priority ask for it; off: strict "
        "order; on or off",
    ),
    _declare(
        "MODEL_QUANTUM_SECONDS",
        "",
        _optional(_number(1, 86_400)),
        "how long a worker stays with a model while jobs for another wait; seconds; empty: ten times the measured load "
        "time, between 60 and 900",
    ),
    _declare(
        "SECRET_KEY",
        "",
        _printable,
        "signs sessions and scheduled tasks; must be the same for all processes of one database; 32 characters or "
        "more; empty: generated once and kept in HOLOCRON_VAR",
    ),
    _declare("DEBUG", "false", _flag, "error pages with source code, for development only; true or false"),
    _declare(
        "ALLOWED_HOSTS",
        "localhost,127.0.0.1,[::1]",
        _hosts,
        "host names the web server answers to, separated by commas",
    ),
    _declare(
        "CSRF_TRUSTED_ORIGINS",
        "",
        _origins,
        "public origins of the site behind a proxy, separated by commas; an https:// origin makes cookies secure",
    ),
    _declare(
        "ALERT_WEBHOOK_URL",
        "",
        webhook_url,
        "the URL to which alerts are posted as JSON (docs/alerts.md); empty: none",
    ),
    _declare(
        "ALERT_WEBHOOK_URL_FILE",
        "",
        _path,
        "a file with that URL on its first line; relative to the project's folder; empty: none",
    ),
    _declare_password(
        "ALERT_WEBHOOK_SECRET",
        "signs what is posted, so that the receiver can check where it comes from; 16 characters or more, or whsec_ "
        "and base64; empty: unsigned",
    ),
    _declare(
        "ALERT_WEBHOOK_SECRET_FILE",
        "",
        _path,
        "a file with that secret on its first line; relative to the project's folder; empty: none",
    ),
    _declare(
        "ALERT_EMAILS",
        "",
        _addresses,
        "who gets alerts by e-mail: at most 20 addresses, separated by commas; empty: nobody",
    ),
    _declare("EMAIL_HOST", "", _mail_host, "the mail server (SMTP) that alerts are sent through; empty: none"),
    _declare(
        "EMAIL_PORT", "", _optional(_whole(1, 65_535)), "its port; empty: 587 with starttls, 465 with tls, 25 with none"
    ),
    _declare(
        "EMAIL_SECURITY",
        "starttls",
        _one_of("starttls", "tls", "none"),
        "how the connection to it is encrypted: starttls, tls (from the start) or none",
    ),
    _declare("EMAIL_USER", "", _printable, "the user to log in as; empty: no log-in"),
    _declare_password("EMAIL_PASSWORD", "that user's password; empty: none"),
    _declare(
        "EMAIL_PASSWORD_FILE",
        "",
        _path,
        "a file with that password on its first line; relative to the project's folder; empty: none",
    ),
    _declare(
        "EMAIL_FROM",
        "",
        lambda text: _address(text) if text else "",
        "the sender's address, such as holocron@example.com",
    ),
    _declare(
        "HOLOCRON_PUBLIC_URL",
        "",
        _public_url,
        "the site's origin for links in alerts, such as https://holocron.example; empty: no links",
    ),
    _declare("LOG_FORMAT", "text", _one_of(*LOG_FORMATS), "format of log lines; text or json"),
    _declare(
        "OTEL_TRACES_EXPORTER",
        "",
        _one_of("", "none", "otlp", "console"),
        "where workers send spans: none, otlp (needs the extra otel; its SDK reads the other OTEL_* variables) or "
        "console; empty: otlp if OTEL_EXPORTER_OTLP_ENDPOINT is set",
    ),
    _declare(
        "OTEL_EXPORTER_OTLP_ENDPOINT", "", _printable, "the URL of the span collector, such as http://127.0.0.1:4318"
    ),
)


def read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return every variable's value by name, with defaults for unset or blank ones; raise SettingsError."""
    values: dict[str, Any] = {}
    for variable in VARIABLES:
        given = environment.get(variable.name, "")
        text = (given if variable.verbatim else given.strip()) or variable.default
        try:
            values[variable.name] = variable.parse(text)
        except ValueError as error:
            # An address with an @ may contain a password, even in a variable that should not have one.
            shown = "…" if variable.name in SECRET_VARIABLES or "@" in text else ascii(text)[:100]
            raise SettingsError(f"{variable.name}={shown} cannot be used: {error}") from None
    return values
