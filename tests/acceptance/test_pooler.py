"""Everything through a real PgBouncer in transaction mode, whose few server connections all processes share."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from django.db import OperationalError
from django.db.backends.postgresql.base import DatabaseWrapper
from pytest_django import DjangoDbBlocker

from derive.sql.sessions import LIMITS, limited
from holocron.database_url import read_database_url, with_short_timeouts
from holocron.embedded_postgres.keeper import DATABASE_NAME
from holocron.settings import BASE_DIR
from tests import forked
from tests.acceptance.guarded_postgres import GuardedPostgres
from tests.acceptance.web_processes import Browser, running, serving
from tests.acceptance.worker_processes import ProcessWorld, wait_until
from tests.faults.worker_world import KEY, input_json
from tests.own_pgbouncer import PROGRAM, WHY_SKIPPED, OwnPgBouncer
from tests.own_postgres import OwnPostgres

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=WHY_SKIPPED)

JOBS = 40


@pytest.fixture
def pooler(own_postgres: OwnPostgres, tmp_path: Path) -> Iterator[OwnPgBouncer]:
    yield from _started(own_postgres, tmp_path / "pooler", mode="transaction")


def _started(postgres: OwnPostgres, folder: Path, *, mode: str) -> Iterator[OwnPgBouncer]:
    pooler = OwnPgBouncer(folder, server_folder=postgres.socket_folder, account=postgres._account, mode=mode)
    pooler.start()
    try:
        yield pooler
    finally:
        pooler.stop()


@pytest.fixture
def pooled(world: ProcessWorld, pooler: OwnPgBouncer) -> dict[str, str]:
    """What leads a process through the pooler."""
    return world.environment | {"DATABASE_URL": pooler.url(DATABASE_NAME)}


def manage(environment: dict[str, str], *arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    return forked.run(
        [sys.executable, "-W", "error", "manage.py", *arguments],
        cwd=BASE_DIR,
        env=environment,
        given=given,
        timeout=120,
    )


def test_jobs_run_once_and_are_exported_verified_and_sealed(
    world: ProcessWorld, pooled: dict[str, str], tmp_path: Path
) -> None:
    job = {"interrogation_key": KEY, "input": json.loads(input_json())}
    lines = [json.dumps({**job, "entity_id": f"planet {number}"}) for number in range(JOBS)]
    uploaded = manage(pooled, "enqueue_jobs", "-", given="\n".join(lines))
    assert uploaded.returncode == 0, uploaded.stderr

    url = pooled["DATABASE_URL"]
    workers = [
        world.worker("--loop", "--poll-seconds", "0.1", "--concurrency", "4", DATABASE_URL=url) for _ in range(3)
    ]
    ended = "SELECT count(*) AS jobs FROM llm.job WHERE status IN ('SUCCEEDED', 'FAILED', 'DEADLETTER')"
    wait_until(lambda: world.sql(ended)[0]["jobs"] == JOBS, "every job has ended")
    # One that is still starting hears no signal yet.
    wait_until(lambda: world.sql("SELECT count(*) AS up FROM llm.worker")[0]["up"] == 3, "every worker has started")
    for worker in workers:
        worker.send(signal.SIGTERM)
    assert [worker.exit_code() for worker in workers] == [0, 0, 0]
    for worker in workers:
        assert "Traceback" not in worker.said()
        assert not {"worker.database_away", "worker.heartbeat_failed"} & set(worker.events())
    assert world.sql("SELECT status, attempt_count, count(*) AS jobs FROM llm.job GROUP BY 1, 2") == [
        {"status": "SUCCEEDED", "attempt_count": 1, "jobs": JOBS}
    ]
    assert world.sql("SELECT count(*) AS runs FROM llm.run")[0]["runs"] == JOBS

    for command in (
        ("export_outputs", str(tmp_path / "answers.jsonl")),
        ("export_outputs", str(tmp_path / "facts.csv"), "--facts"),
        ("verify_runs",),
        ("seal_audit",),
        ("verify_audit",),
        ("inspect_jobs", "--list"),
        ("purge", "--succeeded", "0s", "--reason", "test"),
    ):
        done = manage(pooled, *command)
        assert done.returncode == 0, (command, done.stderr)
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == JOBS


def test_the_scheduler_and_the_site_work(world: ProcessWorld, pooled: dict[str, str]) -> None:
    world.sql("UPDATE django_q_schedule SET next_run = now() - interval '1 second'")
    accounts = pooled | {"DJANGO_SUPERUSER_PASSWORD": "a-password-of-the-site-1"}
    made = manage(accounts, "createsuperuser", "--noinput", "--username", "ada", "--email", "ada@holocron.example")
    assert made.returncode == 0, made.stderr
    log = world.folder / "qcluster.log"
    try:
        with log.open("wb") as said, running("manage.py", "qcluster", environment=pooled, said=said):
            with serving(cast(GuardedPostgres, SimpleNamespace(folder=world.folder)), pooled) as address:
                browser = Browser(address)
                assert browser.get("/readyz")[0] == 200
                browser.log_in("ada", "a-password-of-the-site-1")
                for page in ("/admin/", "/admin/derive/job/", "/admin/derive/run/", "/metrics"):
                    assert browser.get(page)[0] == 200, page
            done = "SELECT count(*) AS tasks FROM derive_taskstate WHERE succeeded_utc IS NOT NULL"
            wait_until(lambda: world.sql(done)[0]["tasks"] >= 2, f"two tasks of the house are done, see {log}")
        assert "Traceback" not in log.read_text()
    finally:
        for table in ("derive_schedulerprocess", "derive_taskstate", "derive_schedulerun", "django_q_ormq"):
            world.sql(f"DELETE FROM {table}")
        world.sql("DELETE FROM django_admin_log; DELETE FROM auth_user")


def test_an_empty_database_is_migrated(world: ProcessWorld, pooler: OwnPgBouncer) -> None:
    world.sql("CREATE DATABASE migrated_through_a_pooler")
    environment = world.environment | {"DATABASE_URL": pooler.url("migrated_through_a_pooler")}
    done = manage(environment, "migrate")
    assert done.returncode == 0, done.stderr
    assert manage(environment, "migrate", "--check").returncode == 0
    assert manage(environment, "inspect_jobs", "--list").stdout == "no jobs\n"


def test_a_pooler_without_transactions_is_refused_in_one_line(
    world: ProcessWorld, own_postgres: OwnPostgres, tmp_path: Path
) -> None:
    for pooler in _started(own_postgres, tmp_path / "pooler", mode="statement"):
        for command in (("run_llm_worker", "--once"), ("migrate",), ("inspect_jobs", "--list")):
            done = manage(world.environment | {"DATABASE_URL": pooler.url(DATABASE_NAME)}, *command)
            assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
            assert "set PgBouncer's pool_mode to transaction" in done.stderr


def test_a_startup_parameter_that_the_pooler_refuses_is_named_in_one_line(
    world: ProcessWorld, pooled: dict[str, str]
) -> None:
    url = pooled["DATABASE_URL"] + "&options=-c%20statement_timeout%3D5s"
    done = manage(pooled | {"DATABASE_URL": url}, "inspect_jobs", "--list")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "remove options= from DATABASE_URL" in done.stderr


def test_limits_do_not_leak_to_other_clients_of_the_connection(
    pooler: OwnPgBouncer, django_db_blocker: DjangoDbBlocker
) -> None:
    entry = with_short_timeouts(read_database_url(pooler.url(DATABASE_NAME), var_folder=Path("unused")))
    defaults: dict[str, Any] = {"ATOMIC_REQUESTS": False, "AUTOCOMMIT": True, "TIME_ZONE": None}
    wrapper = DatabaseWrapper({**defaults, **entry, LIMITS: {"statement_timeout": "50ms"}}, "limited")
    with django_db_blocker.unblock():
        try:
            with pytest.raises(OperationalError, match="statement timeout"):  # noqa: SIM117 (what raises is one block)
                with limited(wrapper), wrapper.cursor() as cursor:
                    cursor.execute("SELECT pg_sleep(5)")
            assert wrapper.connection.prepare_threshold is None
            with wrapper.cursor() as cursor:
                cursor.execute("SHOW statement_timeout")
                assert cursor.fetchone() == ("0",)
        finally:
            wrapper.close()
