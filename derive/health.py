"""Whether this web process can serve: database reachable, scripts up to date, lake writable.

Reasons are visible to anyone who can reach the URL, so they name scripts and error types, never a server's messages,
which may contain hosts, users or paths. Those are logged, except the database's.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.conf import settings
from django.db import Error as DjangoDatabaseError
from django.db import connections

from derive.errors import HolocronError, SchemaMismatch
from derive.lake import Lake
from derive.lake_identity import check_lake_identity
from derive.sql.scripts import check_schema
from derive.sql.sessions import limited
from derive.sql.tables import Engine, engine_of

log = logging.getLogger(__name__)

KEPT_SECONDS = 2.0
"""How long a result is reused, so that many load balancers cause one check."""

# 1 if readers wait for writers. PostgreSQL, and so Babelfish, always reads row versions.
_READERS_WAIT_SQL = {
    Engine.POSTGRESQL: "SELECT 0",
    Engine.SQLSERVER: (
        "SELECT COUNT(*) FROM sys.databases WHERE name = DB_NAME() AND is_read_committed_snapshot_on = 0 "
        "AND SERVERPROPERTY('BabelfishVersion') IS NULL"
    ),
}
READERS_WAIT = (
    "READ_COMMITTED_SNAPSHOT is off: pages and exports wait for writers. Stop every process, then run "
    "ALTER DATABASE CURRENT SET READ_COMMITTED_SNAPSHOT ON"
)

_PATIENCE_SECONDS = 5.0
# The connection with short time-outs, so that a hanging database is reported as not answering.
_ALIAS = "lease"


@dataclass(frozen=True, slots=True)
class ReadinessCheck:
    """One check and why it failed; a reason with ``ok`` is a note."""

    name: str
    ok: bool
    reason: str = ""


def check_database() -> ReadinessCheck:
    """Check that the database answers; notes if readers wait for writers, which is slow but works."""
    connection = connections[_ALIAS]
    try:
        with limited(connection), connection.cursor() as cursor:
            cursor.execute(_READERS_WAIT_SQL[engine_of(connection)])
            (readers_wait,) = cursor.fetchone()
    except (DjangoDatabaseError, HolocronError, OSError) as error:
        return _failed("database", f"does not answer ({type(error).__name__})")
    return ReadinessCheck("database", ok=True, reason=READERS_WAIT if readers_wait else "")


def check_scripts() -> ReadinessCheck:
    """Check that the database has exactly this tree's scripts."""
    try:
        with limited(connections[_ALIAS]):
            check_schema(connections[_ALIAS])
    except SchemaMismatch as error:
        return _failed("scripts", str(error))
    except (DjangoDatabaseError, HolocronError, OSError) as error:
        return _failed("scripts", f"cannot be read ({type(error).__name__})")
    return ReadinessCheck("scripts", ok=True)


def check_lake(*, database_answers: bool = True) -> ReadinessCheck:
    """Check that the lake is this database's and writable."""
    try:
        lake = Lake.open(settings.LAKE_URL)
        if database_answers:
            check_lake_identity(lake)
        lake.probe()
    except (HolocronError, OSError) as error:
        log.warning("health.lake", extra={"error": str(error)})
        return _failed("lake", f"cannot be used ({type(error).__name__}); see the log")
    return ReadinessCheck("lake", ok=True)


def check_all() -> tuple[ReadinessCheck, ...]:
    """Run all checks; scripts are not checked if the database does not answer."""
    database = check_database()
    scripts = (
        check_scripts() if database.ok else ReadinessCheck("scripts", ok=False, reason="the database does not answer")
    )
    return (database, scripts, check_lake(database_answers=database.ok and scripts.ok))


class Readiness:
    """Keeps the last result for ``KEPT_SECONDS``; one thread checks at a time, and waits are bounded."""

    def __init__(
        self,
        check: Callable[[], tuple[ReadinessCheck, ...]] = check_all,
        *,
        clock: Callable[[], float] = time.monotonic,
        patience_seconds: float = _PATIENCE_SECONDS,
    ) -> None:
        self._check = check
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._lock = threading.Lock()
        self._parts: tuple[ReadinessCheck, ...] = ()
        self._until = float("-inf")

    def parts(self) -> tuple[ReadinessCheck, ...]:
        """Return each check's result, at most ``KEPT_SECONDS`` old."""
        if not self._lock.acquire(timeout=self._patience_seconds):
            return (ReadinessCheck("check", ok=False, reason="an earlier check still hangs"),)
        try:
            if self._clock() >= self._until:
                self._parts = self._check()
                self._until = self._clock() + KEPT_SECONDS
            return self._parts
        finally:
            self._lock.release()


def _failed(name: str, reason: str) -> ReadinessCheck:
    log.warning("health.not_ready", extra={"part": name, "reason": reason})
    return ReadinessCheck(name, ok=False, reason=reason)
