"""The real command as processes, on a PostgreSQL and in a folder of its own; everything is judged by SQL and files."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg.rows import dict_row

from holocron.settings import BASE_DIR
from tests import forked
from tests.conftest import OWN_TABLES
from tests.fake_ollama import FakeOllama
from tests.faults.worker_world import KEY, input_json
from tests.own_postgres import OwnPostgres

DEADLINE_SECONDS = 40
SECRET_KEY = "canary-in-the-secret-key-0123456789abcdef"


def wait_until(holds: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}"
        time.sleep(0.02)


class WorkerProcess:
    """One ``manage.py run_llm_worker``; what it says goes into a file."""

    def __init__(self, arguments: tuple[str, ...], environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as said:
            self._process = forked.start(
                [sys.executable, "-W", "error", "manage.py", "run_llm_worker", *arguments],
                cwd=BASE_DIR,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    def said(self) -> str:
        return self._log.read_text()

    def events(self) -> list[str]:
        """The names of the events logged so far."""
        lines = [line for line in self.said().splitlines(keepends=True) if line.startswith("{") and line.endswith("\n")]
        return [json.loads(line)["event"] for line in lines]

    def wait_for(self, event: str) -> "WorkerProcess":
        wait_until(lambda: event in self.events() or self._process.poll() is not None, f"{event} in {self._log}")
        assert event in self.events(), self.said()
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    def open_files(self) -> int:
        """How many files it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def exit_code(self) -> int:
        """Wait for its end."""
        return self._process.wait(DEADLINE_SECONDS)

    def end(self) -> None:
        """Make sure that it has gone."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(DEADLINE_SECONDS)


@dataclass
class ProcessWorld:
    """Where the processes live."""

    postgres: OwnPostgres
    folder: Path
    fake: FakeOllama
    processes: list[WorkerProcess] = field(default_factory=list)
    _number: "count[int]" = field(default_factory=lambda: count(1))

    @property
    def environment(self) -> dict[str, str]:
        own = {
            "DATABASE_URL": self.postgres.url,
            "HOLOCRON_VAR": str(self.folder),
            "LAKE_URL": str(self.folder / "lake"),
            "OLLAMA_BASE_URL": self.fake.url,
            "SECRET_KEY": SECRET_KEY,
            "LOG_FORMAT": "json",
            "WORKER_ID": "",
        }
        return {**os.environ, **own}

    def worker(self, *arguments: str, **variables: str) -> WorkerProcess:
        log = self.folder / f"worker-{next(self._number)}.log"
        process = WorkerProcess(arguments, {**self.environment, **variables}, log)
        self.processes.append(process)
        return process

    def looping(self, *arguments: str) -> WorkerProcess:
        """A worker that goes on, once it is up."""
        return self.worker("--loop", "--poll-seconds", "0.1", *arguments).wait_for("worker.started")

    def sql(self, text: str, *values: Any) -> list[dict[str, Any]]:
        with self.postgres.connect() as connection, connection.cursor(row_factory=dict_row) as cursor:
            cursor.execute(text.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def enqueue(self, **values: Any) -> UUID:
        given = {"interrogation_key": KEY, "input_json": input_json(), "actor": "ada"} | values
        named = ", ".join(f"{name} => %s" for name in given)
        (row,) = self.sql(f"SELECT job_id FROM llm.usp_enqueue_job({named})", *given.values())
        job_id = row["job_id"]
        assert isinstance(job_id, UUID)
        return job_id

    def job(self, job_id: UUID) -> dict[str, Any]:
        return self.sql("SELECT * FROM llm.job WHERE job_id = %s", job_id)[0]

    def runs(self, job_id: UUID) -> list[dict[str, Any]]:
        return self.sql("SELECT * FROM llm.run WHERE job_id = %s ORDER BY attempt", job_id)

    def wait_for(self, job_id: UUID, status: str) -> None:
        wait_until(lambda: self.job(job_id)["status"] == status, f"the job is {status}")

    def wait_for_question(self, number: int = 1) -> None:
        self.fake.wait_until(lambda: len(self.fake.chats) >= number, seconds=DEADLINE_SECONDS)

    def empty(self) -> None:
        for table in OWN_TABLES:
            self.sql(f"DELETE FROM llm.{table}")
