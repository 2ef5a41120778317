"""A world of their own for commands that are run as real processes, on the embedded PostgreSQL."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from holocron.embedded_postgres.server import ensure_running
from holocron.settings import BASE_DIR
from tests import forked
from tests.own_postgres import copy_cluster

DEADLINE_SECONDS = 120.0


class World:
    """A folder with a database of its own; what is run in it never sees another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        self.environment["HOLOCRON_VAR"] = str(folder)

    def start(self, *arguments: str, **more: str) -> subprocess.Popen[str]:
        return forked.start(
            [sys.executable, "manage.py", *arguments],
            cwd=BASE_DIR,
            env=self.environment | more,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, given: str = "", **more: str) -> tuple[int, str, str]:
        process = self.start(*arguments, **more)
        printed, complained = process.communicate(given, timeout=DEADLINE_SECONDS)
        assert "Traceback" not in complained
        return process.returncode, printed, complained

    def migrate(self) -> None:
        code, _printed, complained = self.run("migrate", "--verbosity", "0")
        assert code == 0, complained

    def connect(self) -> "psycopg.Connection[Any]":
        socket_folder = ensure_running(self.folder / "postgres")
        return psycopg.connect(host=socket_folder, user="postgres", dbname="holocron", autocommit=True)


@contextmanager
def migrated(folder: Path, cluster: Path) -> Iterator[World]:
    """A world with a copy of the migrated cluster, whose server is held up between the commands."""
    made = World(folder)
    copy_cluster(cluster, folder / "postgres")
    with made.connect():
        yield made


def line(name: str, **more: Any) -> str:
    job = {"interrogation_key": "sw_entity_facts_v1", "input": {"entity_type": "planet", "entity_id": name}}
    return json.dumps({**job, "entity_id": name, **more})


def count(database: "psycopg.Connection[Any]") -> int:
    row = database.execute("SELECT count(*) FROM llm.job").fetchone()
    assert row is not None
    return int(row[0])
