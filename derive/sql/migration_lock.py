"""A lock that lets only one process at a time change a database's schema; others wait for it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db.backends.base.base import BaseDatabaseWrapper

from derive.sql.tables import Engine, engine_of

POLL_SECONDS = 0.25

# Transaction-level locks: a pooler keeps a transaction on one connection, and the lock ends with the process, however
# that ends. The lock is polled, so that no time-out of the login ends the wait and Ctrl-C works. The number is
# arbitrary; earlier versions locked the same one while they ran a script.
_TRY_SQL = {
    Engine.POSTGRESQL: "SELECT CASE WHEN pg_try_advisory_xact_lock(4871023596102) THEN 1 ELSE 0 END",
    Engine.SQLSERVER: (
        "SET NOCOUNT ON; DECLARE @granted int; EXEC @granted = sp_getapplock @Resource = N'llm.schema_script', "
        "@LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = 0; "
        "SELECT CASE WHEN @granted >= 0 THEN 1 ELSE 0 END;"
    ),
}
# Begun explicitly, because sp_getapplock does not begin a transaction. It is idle while the other connection works.
_BEGIN_SQL = {
    Engine.POSTGRESQL: "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 0",
    Engine.SQLSERVER: "BEGIN TRANSACTION",
}


@contextmanager
def migration_lock_held(
    connection: BaseDatabaseWrapper,
    *,
    on_wait: Callable[[], object] = lambda: None,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[None]:
    """Hold the database's lock for schema changes during the block, on a connection of its own.

    ``on_wait`` is called once if another process holds the lock. Raises Django's database errors.
    """
    engine = engine_of(connection)
    holder = connection.copy()
    try:
        with holder.cursor() as cursor:
            cursor.execute(_BEGIN_SQL[engine])
            is_told = False
            while True:
                cursor.execute(_TRY_SQL[engine])
                if cursor.fetchone()[0]:
                    break
                if not is_told:
                    on_wait()
                    is_told = True
                sleep(POLL_SECONDS)
        yield
    finally:
        holder.close()
