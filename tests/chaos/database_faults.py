"""What goes wrong in the database and on the way to it, for the workers that log in as ``chaos_worker``.

All of it is the real server's doing: the role's rights and limits, a trigger that raises the error of a full disk, and
a TCP proxy whose connections freeze.
"""

import time
from collections.abc import Callable
from contextlib import suppress

import psycopg

from holocron.embedded_postgres.keeper import DATABASE_NAME
from tests.chaos.spans import Span
from tests.freezing_proxy import FreezingProxy
from tests.own_postgres import OwnPostgres

ROLE = "chaos_worker"
STATEMENT_MS = 4
"""Under it a statement is cancelled: some of a worker's calls take longer, some do not."""
FROZEN_SECONDS = 4.0
"""After which a lease keeper has given up a frozen connection and made another, at the chaos run's lease."""

_HAS_ROOM = "RETURN NEW;"
_IS_FULL = (
    f"IF session_user = '{ROLE}' THEN RAISE EXCEPTION USING ERRCODE = '53100',"
    " MESSAGE = 'could not extend file: No space left on device'; END IF; RETURN NEW;"
)


class DatabaseFaults:
    """The switches; each returns what ends it."""

    def __init__(self, postgres: OwnPostgres, proxy: FreezingProxy, *, away: list[Span]) -> None:
        self._postgres = postgres
        self._proxy = proxy
        self._away = away
        self._execute(f"CREATE ROLE {ROLE} LOGIN IN ROLE llm_worker", "CREATE SCHEMA chaos")
        self._set_disk(_HAS_ROOM)
        self._execute(
            "CREATE TRIGGER chaos_disk BEFORE INSERT OR UPDATE ON llm.run FOR EACH ROW EXECUTE FUNCTION chaos.disk()"
        )

    @property
    def url(self) -> str:
        """The workers' address, for DATABASE_URL."""
        return f"postgresql://{ROLE}@127.0.0.1:{self._proxy.port}/{DATABASE_NAME}"

    def fill_disk(self) -> Callable[[], None]:
        """Let every write of a run fail as on a full disk."""
        self._set_disk(_IS_FULL)
        return self._ending(lambda: self._set_disk(_HAS_ROOM))

    def limit_statements(self) -> Callable[[], None]:
        """Cancel what takes longer than a few milliseconds."""
        self._execute(f"ALTER ROLE {ROLE} SET statement_timeout = {STATEMENT_MS}", *self._reconnect)
        return self._ending(lambda: self._execute(f"ALTER ROLE {ROLE} RESET statement_timeout", *self._reconnect))

    def refuse_login(self) -> Callable[[], None]:
        """Refuse the login, as while its password is changed, and cut what is connected."""
        self._execute(f"ALTER ROLE {ROLE} NOLOGIN", *self._reconnect)
        return self._ending(lambda: self._execute(f"ALTER ROLE {ROLE} LOGIN"))

    def freeze_connections(self) -> Callable[[], None]:
        """Let no byte pass on the connections that are open now; what they hold back arrives late."""
        self._proxy.freeze()
        return self._ending(self._proxy.thaw, at_least=FROZEN_SECONDS)

    _reconnect = (f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{ROLE}'",)

    def _ending(self, end: Callable[[], object], *, at_least: float = 0.0) -> Callable[[], None]:
        since = time.time()

        def act() -> None:
            end()
            self._away.append((since, max(time.time(), since + at_least)))

        return act

    def _set_disk(self, body: str) -> None:
        self._execute(
            f"CREATE OR REPLACE FUNCTION chaos.disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$"
        )

    def _execute(self, *statements: str) -> None:
        """Do it, however often the server is away or crashes meanwhile."""
        while True:
            with suppress(psycopg.OperationalError), self._postgres.connect() as connection:
                for statement in statements:
                    connection.execute(statement.encode())
                return
            time.sleep(0.05)
