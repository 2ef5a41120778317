"""A small true history that a worker made, which a chaos run's promises are judged by; and ways to change its rows."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import override_settings

from tests.chaos.crew import Crew, Kill
from tests.chaos.history import History, read_history
from tests.chaos.lake_files import LakeFiles, read_lake
from tests.chaos.ledger import Ledger
from tests.chaos.promises import Violation
from tests.chaos.recovery import Recovery
from tests.chaos.run import ChaosReport, judge
from tests.chaos.verified import Verified
from tests.chaos.world import ChaosWorld
from tests.fake_ollama import behaviours
from tests.faults.worker_world import World

SUCCEEDED = "(SELECT job_id FROM llm.job WHERE dedupe_key = 'a')"


@dataclass
class Scene:
    """One job that succeeded at its second attempt and holds a key, one whose lease ran out, one that was cancelled."""

    world: World
    succeeded: UUID
    expired: UUID
    cancelled: UUID

    @property
    def ledger(self) -> Ledger:
        return Ledger(queued={self.succeeded, self.expired, self.cancelled}, duplicates=[("a", self.succeeded)])

    @property
    def history(self) -> History:
        with connection.cursor() as cursor:
            return read_history(cursor)

    @property
    def lake(self) -> LakeFiles:
        return read_lake(self.world.lake_root)

    def verified(self) -> Verified:
        said = io.StringIO()
        with override_settings(LAKE_URL=str(self.world.lake_root)), pytest.raises(SystemExit):
            call_command("verify_runs", "--json", stdout=said)
        return Verified.read(said.getvalue().splitlines())

    def file(self, job_id: UUID, name: str) -> Path:
        run = self.world.run(job_id)
        return self.world.lake_root / self.world.folder(run) / name

    def report(self) -> ChaosReport:
        """Return what a chaos run would say of this history.

        A recovery has to be measured: the job that was asked again at once stands for a killed worker's.
        """
        history = self.history
        crew = Crew(cast(ChaosWorld, self.world), size=0)
        if asked_again := history.runs_of.get(self.succeeded):
            crew.kills.append(Kill(asked_again[0].worker_id, at=asked_again[0].started_utc.timestamp()))
        report = ChaosReport(
            seconds=0.0,
            injected={},
            crew=crew,
            history=history,
            lake=self.lake,
            verified=self.verified(),
            recovery=Recovery((), ()),
            overdue=[],
            drain_seconds=0.0,
        )
        judge(report, self.ledger, calm_since=0.0, blind=[])
        return report

    def violations(self) -> list[Violation]:
        return self.report().violations


def make_scene(world: World) -> Scene:
    world.fake.next(behaviours.not_the_schema())
    succeeded = world.enqueue(dedupe_key="a", max_attempts=2)
    world.work(2)
    expired = world.enqueue(max_attempts=1)
    (claim,) = world.queue.claim("worker-gone", lease_seconds=1)
    folder = world.lake_root / world.lake.run_folder(claim.started_utc, claim.run_id)
    folder.mkdir(parents=True)
    (folder / "evidence.json").write_text("{}")
    with connection.cursor() as cursor:
        shift = timedelta(seconds=3)
        for table in ("job", "run"):
            column = "lease_expires_utc" if table == "job" else "lease_until_utc"
            cursor.execute(f"SELECT {column} FROM llm.{table} WHERE job_id = %s", [str(expired)])
            cursor.execute(
                f"UPDATE llm.{table} SET {column} = %s WHERE job_id = %s", [cursor.fetchone()[0] - shift, str(expired)]
            )
    assert [reaped.job_id for reaped in world.queue.reap()] == [expired]
    cancelled = world.enqueue()
    world.cancel(cancelled)
    return Scene(world, succeeded, expired, cancelled)


@contextmanager
def changed(sql: str, *values: Any) -> Iterator[None]:
    """Change rows for the block; they are as they were after it."""
    with transaction.atomic():
        with connection.cursor() as cursor:
            for statement in sql.split(";"):
                count = statement.count("%s")
                cursor.execute(statement, [str(v) if isinstance(v, UUID) else v for v in values[:count]])
                values = values[count:]
        yield
        transaction.set_rollback(True)
