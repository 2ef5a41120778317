"""Where a chaos run happens: a PostgreSQL, a pooler and a folder of its own, a fake Ollama, and an ordinary user."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from random import Random
from signal import SIGQUIT

import psycopg

from holocron.embedded_postgres.account import _CAP_DAC_READ_SEARCH, Account
from holocron.embedded_postgres.keeper import DATABASE_NAME
from holocron.embedded_postgres.layout import PORT
from tests.chaos.database_faults import DatabaseFaults
from tests.chaos.model_faults import ModelFaults
from tests.chaos.processes import BASE_DIR
from tests.chaos.spans import Span
from tests.chaos.worker import FULL_VARIABLE
from tests.fake_ollama import FakeOllama
from tests.freezing_proxy import FreezingProxy, freezing_proxy
from tests.own_pgbouncer import PROGRAM, OwnPgBouncer
from tests.own_postgres import OwnPostgres

FOLDER_MODE, READ_ONLY_MODE = 0o755, 0o555
SECRET_KEY = "chaos-0123456789abcdef0123456789abcdef"


@dataclass
class ChaosWorld:
    """Everything that can go wrong, and the switches that make it so."""

    postgres: OwnPostgres
    folder: Path
    fake: FakeOllama
    model_faults: ModelFaults
    account: Account
    is_kept: bool
    proxy: FreezingProxy
    """In front of PostgreSQL, for the workers that do not go through the pooler."""
    pooler: OwnPgBouncer | None = None
    """In transaction mode, where PgBouncer is installed: every second worker goes through it."""
    away: list[Span] = field(default_factory=list)
    """When the database was away."""
    _database_thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "database"))
    _restarts: "list[Future[None]]" = field(default_factory=list)

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    @property
    def sources_file(self) -> Path:
        return self.folder / "sources.toml"

    @property
    def full_sign(self) -> Path:
        return self.folder / "lake-is-full"

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "DATABASE_URL": self.postgres.url,
            "HOLOCRON_VAR": str(self.folder),
            "LAKE_URL": str(self.lake),
            "OLLAMA_BASE_URL": self.fake.url,
            "OLLAMA_CONNECT_SECONDS": "2",
            "OLLAMA_FIRST_BYTE_SECONDS": "3",
            "OLLAMA_IDLE_SECONDS": "2",
            "OLLAMA_TIMEOUT_SECONDS": "6",
            "HOLOCRON_SOURCES": str(self.sources_file),
            "SECRET_KEY": SECRET_KEY,
            "LOG_FORMAT": "json",
            "WORKER_ID": "",
            FULL_VARIABLE: str(self.full_sign),
            # The account may be unable to write beside the tree's files.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return {**os.environ, **own}

    @cached_property
    def database_faults(self) -> DatabaseFaults:
        """What can go wrong on the straight way to the database; once that is migrated."""
        return DatabaseFaults(self.postgres, self.proxy, away=self.away)

    @property
    def straight_environment(self) -> dict[str, str]:
        """The way without the pooler, under a login of the workers' own."""
        return self.environment | {"DATABASE_URL": self.database_faults.url}

    @property
    def pooled_environment(self) -> dict[str, str]:
        """The way through the pooler, where there is one."""
        return (
            self.environment | {"DATABASE_URL": self.pooler.url(DATABASE_NAME)}
            if self.pooler
            else self.straight_environment
        )

    def crash_pooler(self, *, away_seconds: float) -> None:
        """Kill the pooler, and start it again on the thread that restarts the database."""
        self._restarts.append(self._database_thread.submit(self._crash_pooler, away_seconds))

    def _crash_pooler(self, away_seconds: float) -> None:
        assert self.pooler is not None
        since = time.time()
        self.pooler.stop()
        time.sleep(away_seconds)
        self.pooler.start()
        # Maybe everybody who was up came by it.
        self.away.append((since, time.time()))

    def crash_database(self, *, away_seconds: float) -> None:
        """Stop the server as a crash would, and start it again on a thread that lives as long as this world."""
        self._restarts.append(self._database_thread.submit(self._crash, away_seconds))

    def _crash(self, away_seconds: float) -> None:
        since = time.time()
        self.postgres.stop(SIGQUIT)
        time.sleep(away_seconds)
        self.postgres.start()
        self.away.append((since, time.time()))

    def wait_for_database(self) -> None:
        """Return when every server that was stopped has been started again."""
        for restart in self._restarts:
            restart.result()

    def cut_connections(self, share: float) -> int:
        """End so many of the server's connections, at least one if there is any; return how many."""
        with suppress(psycopg.OperationalError), self.postgres.connect() as connection:
            found = connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND random() < %s",
                [share],
            ).fetchone()
            return int(str(found[0])) if found else 0
        return 0

    def set_lake_writable(self, *, writable: bool) -> None:
        """Give every folder of the lake its mode; the workers' user then may, or may not, write in it."""
        mode = FOLDER_MODE if writable else READ_ONLY_MODE
        for where, _, _ in os.walk(self.lake):
            with suppress(FileNotFoundError):
                Path(where).chmod(mode)

    def note(self, what: str) -> None:
        """Keep what happened when, beside the workers' logs."""
        with (self.folder / "faults.log").open("a") as log:
            log.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {what}\n")

    def set_lake_full(self, *, full: bool) -> None:
        if full:
            self.full_sign.touch()
        else:
            self.full_sign.unlink(missing_ok=True)


@contextmanager
def chaos_world(rng: Random, *, keep: bool) -> Iterator[ChaosWorld]:
    """Yield a migrated world; its folder is removed at the end unless it is to be kept or something went wrong."""
    folder = Path(tempfile.mkdtemp(prefix="holocron-chaos-"))
    folder.chmod(0o755)
    postgres = OwnPostgres(folder / "postgres")
    account = postgres._account
    if account.capability is not None:
        # Reading wherever the tree lies is enough: one that may write anywhere knows no read-only lake.
        account = replace(account, capability=_CAP_DAC_READ_SEARCH)
    model_faults = ModelFaults(rng)
    postgres.start()
    pooler = None
    if PROGRAM is not None:
        pooler = OwnPgBouncer(
            folder / "pooler", server_folder=postgres.socket_folder, account=postgres._account, pool_size=8
        )
        pooler.start()
    try:
        socket = postgres.socket_folder / f".s.PGSQL.{PORT}"
        with FakeOllama(records=False) as fake, freezing_proxy(socket) as proxy:
            fake.always(model_faults)
            world = ChaosWorld(postgres, folder / "world", fake, model_faults, account, keep, proxy, pooler=pooler)
            world.lake.mkdir(parents=True)
            for own in (world.folder, world.lake):
                os.chown(own, account.uid, account.gid)
            subprocess.run(
                [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
                cwd=BASE_DIR,
                env=world.environment,
                check=True,
                timeout=120,
            )
            yield world
            if not world.is_kept:
                if pooler is not None:
                    pooler.stop()
                postgres.stop()
                shutil.rmtree(folder)
    finally:
        if pooler is not None:
            pooler.stop()
        postgres.stop()
