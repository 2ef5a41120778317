"""A lock under which one process at a time changes a database's schema; the others wait."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db.backends.base.base import BaseDatabaseWrapper

from derive.sql.tables import Engine, engine_of

POLL_SECONDS = 0.25

# Locks of a transaction: a pooler keeps it on one connection, and they end with the process, however that ends. They
# are polled, so that no login's time-out ends the wait and Ctrl-C is heard. The number is arbitrary, and the one that
# earlier versions locked while they ran a script.
_TRY_SQL = {
    Engine.POSTGRESQL: "SELECT CASE WHEN pg_try_advisory_xact_lock(4871023596102) THEN 1 ELSE 0 END",
    Engine.SQLSERVER: (
        "SET NOCOUNT ON; DECLARE @granted int; EXEC @granted = sp_getapplock @Resource = N'llm.schema_script', "
        "@LockMode = N'Exclusive', @LockOwner = N'Transaction', @LockTimeout = 0; "
        "SELECT CASE WHEN @granted >= 0 THEN 1 ELSE 0 END;"
    ),
}
# Begun by hand: SQL Server begins none for a call of sp_getapplock alone. It is idle while the other connection works.
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
    """Hold the database's one lock for changes of its schema, on a connection of its own, for the block.

    ``on_wait`` is called once when another process holds it. Raises what Django makes of the driver's errors.
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
