"""DATABASE_URL as an entry of Django's DATABASES: ``mssql://``, ``postgresql://``, empty for the embedded server.

The password may be in the address, percent-encoded, or given separately and unencoded, because what builds the address
(a compose file, a chart) cannot always encode it.
"""

import re
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from holocron.embedded_postgres.programs import NoProgramsError, find_programs
from holocron.environment import SettingsError
from holocron.secret_file import read_secret_file

MSSQL_EXAMPLE = "mssql://user:password@host:1433/Holocron?Encrypt=yes"
POSTGRESQL_EXAMPLE = "postgresql://user:password@host:5432/holocron"
CONNECT_SECONDS = 15
IMPATIENT_CONNECT_SECONDS = 3
IMPATIENT_CALL_SECONDS = 5
IMPATIENT_LOCK_SECONDS = 3
IMPATIENT_IDLE_SECONDS = 3
"""Longest idle time within a transaction; after that, a client that has gone silent loses its locks."""
# Kept for the life of the process: a connection per request halves or quarters a worker's throughput (measured). The
# health check lets an idle process survive a server restart.
KEPT_CONNECTION: dict[str, Any] = {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True}
# Behind a pooler, server-side cursors do not outlive their transaction.
NO_NAMED_CURSORS: dict[str, Any] = {"DISABLE_SERVER_SIDE_CURSORS": True}


def read_password(password: str, *, file: Path | None) -> str:
    """Return the separately given password, from its variable or the first line of a file; raise SettingsError."""
    if file is None:
        return password
    if password:
        raise SettingsError("DATABASE_PASSWORD and DATABASE_PASSWORD_FILE are both set: leave one empty")
    return read_secret_file(file, variable="DATABASE_PASSWORD_FILE")


def read_database_url(url: str, *, var_folder: Path, password: str = "") -> dict[str, Any]:
    """Return the DATABASES entry for the address; raise SettingsError if it is unusable.

    ``password`` is the separately given one. The error's text never contains a password.
    """
    if not url:
        if password:
            raise SettingsError("DATABASE_PASSWORD is set without a DATABASE_URL: name the server, or leave both empty")
        return _embedded(var_folder)
    parts = _split(url)
    if password and parts.password:
        raise SettingsError("DATABASE_URL holds a password and DATABASE_PASSWORD is set: leave one out")
    if password and not parts.username:
        raise SettingsError("DATABASE_PASSWORD is set, but DATABASE_URL names no user: write user@ before the host")
    if parts.scheme == "mssql":
        return _mssql(parts, password)
    if parts.scheme in {"postgresql", "postgres"}:
        return _postgresql(parts, password)
    if parts.scheme.startswith("sqlite"):
        raise SettingsError(
            "DATABASE_URL names SQLite, which Holocron does not run on: leave it empty for the embedded PostgreSQL"
        )
    raise SettingsError(f"DATABASE_URL must begin with mssql:// or postgresql://, as in {POSTGRESQL_EXAMPLE}")


def with_short_timeouts(database: dict[str, Any]) -> dict[str, Any]:
    """Return a second entry for the same database with short time-outs, for heartbeats."""
    options = dict(database.get("OPTIONS", {}))
    limits: dict[str, str] = {}
    if database["ENGINE"] == "mssql":
        options |= {"connection_timeout": IMPATIENT_CONNECT_SECONDS, "query_timeout": IMPATIENT_CALL_SECONDS}
    else:
        options |= {"connect_timeout": str(IMPATIENT_CONNECT_SECONDS)}
        # Set within each transaction, because a pooler accepts no such startup parameters and would share a session's.
        limits = {
            "statement_timeout": f"{IMPATIENT_CALL_SECONDS}s",
            "lock_timeout": f"{IMPATIENT_LOCK_SECONDS}s",
            "idle_in_transaction_session_timeout": f"{IMPATIENT_IDLE_SECONDS}s",
        }
    # In tests, use the same test database.
    return {**database, "OPTIONS": options, "CALL_LIMITS": limits, "TEST": {"MIRROR": "default"}}


def _split(url: str) -> SplitResult:
    if any(ord(mark) < 33 for mark in url):
        raise SettingsError("DATABASE_URL holds a blank or a control character: percent-encode it (%20)")
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  # reading the property validates the port
    except ValueError:
        raise SettingsError(
            "DATABASE_URL cannot be read: percent-encode special characters in user and password (@ is %40, / is %2F), "
            f"as in {POSTGRESQL_EXAMPLE}"
        ) from None
    if parts.fragment:
        raise SettingsError("DATABASE_URL holds a #: percent-encode it as %23")
    return parts


def _name(parts: SplitResult, example: str) -> str:
    name = unquote(parts.path.removeprefix("/"))
    if not name or "/" in name:
        raise SettingsError(f"DATABASE_URL must name one database at its end, as in {example}")
    return name


def _options(parts: SplitResult) -> dict[str, str]:
    try:
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise SettingsError("DATABASE_URL: options are written ?key=value&key=value") from None
    return dict(pairs)


def _server(parts: SplitResult, password: str) -> dict[str, Any]:
    return {
        "HOST": unquote(parts.hostname or ""),
        "PORT": str(parts.port or ""),
        "USER": unquote(parts.username or ""),
        "PASSWORD": password or unquote(parts.password or ""),
    }


def _embedded(var_folder: Path) -> dict[str, Any]:
    try:
        find_programs()
    except NoProgramsError as error:
        raise SettingsError(f"{error}: set DATABASE_URL, as in {POSTGRESQL_EXAMPLE} or {MSSQL_EXAMPLE}") from None
    return {
        "ENGINE": "holocron.embedded_postgres",
        "NAME": "holocron",
        "EMBEDDED_FOLDER": str(var_folder / "postgres"),
        **KEPT_CONNECTION,
        **NO_NAMED_CURSORS,
    }


def _postgresql(parts: SplitResult, password: str) -> dict[str, Any]:
    from psycopg import ProgrammingError
    from psycopg.conninfo import make_conninfo

    options: dict[str, Any] = {"connect_timeout": str(CONNECT_SECONDS), **_options(parts)}
    try:
        make_conninfo(**options)
    except ProgrammingError as error:
        raise SettingsError(f"DATABASE_URL: {error}".strip()) from None
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _name(parts, POSTGRESQL_EXAMPLE),
        **_server(parts, password),
        "OPTIONS": options,
        **KEPT_CONNECTION,
        **NO_NAMED_CURSORS,
    }


def _mssql(parts: SplitResult, password: str) -> dict[str, Any]:
    server = _server(parts, password)
    if not server["HOST"]:
        raise SettingsError(f"DATABASE_URL must name a host, as in {MSSQL_EXAMPLE}")
    if server["PASSWORD"] != server["PASSWORD"].strip():
        # The driver strips them, and the server would only report that the login failed.
        raise SettingsError("SQL Server's driver cannot send a password that begins or ends with a blank: change it")
    keywords = {"Encrypt": "yes", "TrustServerCertificate": "no"}
    for key, value in _options(parts).items():
        if not re.fullmatch(r"[A-Za-z][A-Za-z ]*", key):
            raise SettingsError("DATABASE_URL: an option's name consists of letters, as in ?Encrypt=yes")
        if key.lower().replace(" ", "") in {"pwd", "password", "uid", "user"}:
            raise SettingsError(f"DATABASE_URL: user and password come before the host, as in {MSSQL_EXAMPLE}")
        same = next((known for known in keywords if known.lower() == key.lower()), key)
        keywords[same] = value
    return {
        "ENGINE": "mssql",
        "NAME": _name(parts, MSSQL_EXAMPLE),
        **server,
        "OPTIONS": {
            # Its wheel contains Microsoft's ODBC Driver 18, so nothing has to be installed in the system.
            "python_driver": "mssql_python",
            "connection_timeout": CONNECT_SECONDS,
            "extra_params": ";".join(f"{key}={_braced(value)}" for key, value in keywords.items()),
        },
        **KEPT_CONNECTION,
    }


def _braced(value: str) -> str:
    """Return the value quoted for an ODBC connection string: in braces if it contains a special character."""
    if re.search(r"[;{}=\s]", value):
        return "{" + value.replace("}", "}}") + "}"
    return value
