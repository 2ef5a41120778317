"""Database sessions beside the test's own: one holds a lock, the other is seen to wait for it, or not to."""

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, connection
from django.db.backends.base.base import BaseDatabaseWrapper

from derive.contracts import Claim, Enqueued
from derive.sql.calls import Row, render_call
from derive.sql.procedures import Procedure
from derive.sql.tables import Engine, engine_of
from tests.contract.scenes import THREAD_SECONDS

PATIENT_MS = 2_000
"""How long a call waits for a lock that it should not need: only a fault waits so long."""
IMPATIENT_MS = 50
"""How long a call waits for a lock that nobody lets go."""

# One engine says "lock timeout", the other "Lock request time out period exceeded".
_GAVE_UP_WAITING = re.compile("lock timeout|Lock request time out")
_IS_FREE = {
    Engine.POSTGRESQL: "SELECT 1 FROM llm.job WHERE job_id = %s FOR NO KEY UPDATE SKIP LOCKED",
    Engine.SQLSERVER: "SELECT 1 FROM llm.job WITH (UPDLOCK, READPAST, ROWLOCK) WHERE job_id = %s",
}
_WAITING = {
    Engine.POSTGRESQL: (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    ),
    Engine.SQLSERVER: (
        "SELECT COUNT(*) FROM sys.dm_exec_requests WHERE database_id = DB_ID() AND blocking_session_id <> 0"
    ),
}


class Session:
    """A connection of its own with a transaction open, which is rolled back at the end."""

    def __init__(self, opened: BaseDatabaseWrapper) -> None:
        self._connection = opened

    def call(self, procedure: Procedure, **arguments: Any) -> Sequence[Row]:
        """Call a procedure once, in this session's transaction; return its rows."""
        names = tuple(name for name, value in arguments.items() if value is not None)
        statement = render_call(engine_of(self._connection), procedure, names)
        with self._connection.cursor() as cursor:
            cursor.execute(statement, [arguments[name] for name in names])
            return list(cursor.fetchall())

    def has_to_wait(self, procedure: Procedure, **arguments: Any) -> bool:
        """Call a procedure; return whether it gave up because it had to wait for a lock."""
        try:
            self.call(procedure, **arguments)
        except DatabaseError as error:
            if not _GAVE_UP_WAITING.search(str(error)):
                raise
            return True
        return False

    def hold(self, *jobs: Enqueued | Claim) -> None:
        """Lock jobs' rows as a change does that is not committed yet."""
        with self._connection.cursor() as cursor:
            for job in jobs:
                # Another value, for the indexes' rows to be locked as well.
                cursor.execute("UPDATE llm.job SET priority = priority + 1 WHERE job_id = %s", [str(job.job_id)])

    def hold_worker(self, worker_id: str) -> None:
        """Lock a worker's row."""
        with self._connection.cursor() as cursor:
            cursor.execute("UPDATE llm.worker SET pid = pid WHERE worker_id = %s", [worker_id])

    def hold_deletion(self, deletion_seq: int) -> None:
        """Lock the row of a file that the lake is to lose."""
        with self._connection.cursor() as cursor:
            cursor.execute("UPDATE llm.lake_deletion SET attempts = attempts WHERE deletion_seq = %s", [deletion_seq])

    def run(self, statement: str) -> None:
        """Run a statement of a test's own in this session's transaction."""
        with self._connection.cursor() as cursor:
            cursor.execute(statement)

    def commit(self) -> None:
        """Let others see what was done, and let go of all locks."""
        self._connection.commit()

    def roll_back(self) -> None:
        """Let go of all locks."""
        self._connection.rollback()


@contextmanager
def a_session(*, wait_ms: int = PATIENT_MS) -> Iterator[Session]:
    """Open a session whose statements wait so long for a lock, and then fail."""
    opened = connection.copy()
    statement = "SET LOCK_TIMEOUT" if engine_of(opened) is Engine.SQLSERVER else "SET lock_timeout ="
    try:
        with opened.cursor() as cursor:
            cursor.execute(f"{statement} {wait_ms}")
        opened.set_autocommit(False)
        yield Session(opened)
        opened.rollback()
    finally:
        opened.close()


@contextmanager
def waiting(procedure: Procedure, **arguments: Any) -> Iterator[None]:
    """Run a block while a call of a procedure waits for a lock; undo what the call did."""

    def run() -> None:
        with a_session() as session:
            session.has_to_wait(procedure, **arguments)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        while not somebody_waits():
            assert thread.is_alive(), f"{procedure.name} did not wait"
        yield
    finally:
        thread.join(THREAD_SECONDS)
    assert not thread.is_alive(), "a thread hangs"


def somebody_waits() -> bool:
    """Return whether a session of this database waits for a lock."""
    with connection.cursor() as cursor:
        cursor.execute(_WAITING[engine_of(connection)])
        return bool(cursor.fetchone()[0])


def is_free(job: Enqueued | Claim) -> bool:
    """Return whether nobody holds a lock on a job's row."""
    with connection.cursor() as cursor:
        cursor.execute(_IS_FREE[engine_of(connection)], [str(job.job_id)])
        return cursor.fetchone() is not None
