"""A PostgreSQL that asks everybody but its administrator for a password, set up by the real command."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from holocron.embedded_postgres.layout import DATABASE_USER, PORT
from holocron.settings import BASE_DIR
from tests.own_postgres import OwnPostgres

DATABASE = 'holo"cron'
WORKER_PASSWORD = "w;{}@%'\"\\$ü:/#canary"
WEB_PASSWORD = "b'; DROP ROLE holocron_worker; --{}@%canary"
SECRET_KEY = "canary-in-the-secret-key-0123456789abcdef"
SECRETS = (WORKER_PASSWORD, WEB_PASSWORD, SECRET_KEY)


@dataclass(frozen=True)
class GuardedPostgres:
    """The server, and how its processes reach it."""

    postgres: OwnPostgres
    folder: Path

    def url(self, user: str, *, database: str = DATABASE) -> str:
        """The address, without a password: that stands in DATABASE_PASSWORD."""
        host = quote(str(self.postgres.socket_folder), safe="")
        return f"postgresql://{user}@/{quote(database, safe='')}?host={host}&port={PORT}"

    def connect(self, user: str = DATABASE_USER, password: str = "") -> "psycopg.Connection[Any]":
        host = str(self.postgres.socket_folder)
        return psycopg.connect(host=host, user=user, password=password, dbname=DATABASE, autocommit=True)

    def environment(self, user: str = DATABASE_USER, password: str = "", **variables: str) -> dict[str, str]:
        own = {
            "DATABASE_URL": self.url(user),
            "DATABASE_PASSWORD": password,
            "HOLOCRON_VAR": str(self.folder),
            "LAKE_URL": str(self.folder / "lake"),
            "SECRET_KEY": SECRET_KEY,
            "WORKER_ID": "",
        }
        return {**os.environ, **own, **variables}

    def manage(self, *arguments: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
        """Run a management command; whatever came of it, it said no secret."""
        done = subprocess.run(
            [sys.executable, "-W", "error", "manage.py", *arguments],
            cwd=BASE_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        for secret in SECRETS:
            assert secret not in done.stdout + done.stderr
        return done

    def set_up(
        self, user: str = DATABASE_USER, password: str = "", **variables: str
    ) -> "subprocess.CompletedProcess[str]":
        passwords = {"HOLOCRON_WORKER_PASSWORD": WORKER_PASSWORD, "HOLOCRON_WEB_PASSWORD": WEB_PASSWORD} | variables
        return self.manage("set_up_database", environment=self.environment(user, password, **passwords))

    @property
    def as_worker(self) -> dict[str, str]:
        return self.environment("holocron_worker", WORKER_PASSWORD)

    @property
    def as_web(self) -> dict[str, str]:
        return self.environment("holocron_web", WEB_PASSWORD)


def start_guarded(folder: Path) -> GuardedPostgres:
    """Start a server of the tests' own whose pg_hba.conf asks for passwords, and which logs every statement."""
    postgres = OwnPostgres(folder / "postgres")
    data = postgres.data_folder
    (data / "pg_hba.conf").write_text(f"local all {DATABASE_USER} trust\nlocal all all scram-sha-256\n", "ascii")
    with (data / "postgresql.conf").open("a", encoding="ascii") as settings:
        settings.write("log_statement = 'all'\n")
    postgres.start()
    return GuardedPostgres(postgres, folder)
