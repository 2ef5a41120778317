"""A connection that freezes costs nothing: its call is given up, and a new connection takes its place."""

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from django.db import DatabaseError, connection, connections, transaction

from derive.sql.sessions import limited
from derive.sql.tables import Engine, engine_of
from derive.worker import call_thread, lease, loop, start
from holocron.embedded_postgres.layout import DATABASE_USER, PORT
from holocron.embedded_postgres.server import ensure_running
from tests.fake_ollama import Gate, behaviours
from tests.faults.worker_world import SUCCEEDED, World, wait_until
from tests.freezing_proxy import FreezingProxy, Upstream, freezing_proxy

CALL_SECONDS = 1.5


def the_server() -> tuple[Upstream, dict[str, str]]:
    """Where the tests' server listens, and what else a connection by way of a port needs."""
    settings = connection.settings_dict
    if settings["ENGINE"] == "holocron.embedded_postgres":
        folder = ensure_running(Path(settings["EMBEDDED_FOLDER"]))
        own = {"ENGINE": "django.db.backends.postgresql", "USER": DATABASE_USER}
        return Path(folder) / f".s.PGSQL.{PORT}", own
    if not settings["HOST"] or settings["HOST"].startswith("/"):
        pytest.skip("the server is on a socket of its own: start it on a port, or test on the embedded one")
    return (settings["HOST"], int(settings["PORT"] or (1433 if settings["ENGINE"] == "mssql" else 5432))), {}


@pytest.fixture
def proxy(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[FreezingProxy]:
    """A proxy by way of which every thread connects that begins from now on, which a worker's all do."""
    upstream, own = the_server()
    with freezing_proxy(upstream) as proxy:
        for alias in ("default", "lease"):
            through = {**own, "HOST": "127.0.0.1", "PORT": str(proxy.port)}
            for key, value in through.items():
                monkeypatch.setitem(connections.settings[alias], key, value)
        monkeypatch.setattr(lease, "MIN_CALL_SECONDS", CALL_SECONDS)
        monkeypatch.setattr(lease, "MAX_CALL_SECONDS", CALL_SECONDS)
        monkeypatch.setattr(start, "QUEUE_CALL_SECONDS", CALL_SECONDS)
        yield proxy
        world.stop_all()


def test_a_frozen_connection_costs_no_lease_and_no_answer(world: World, proxy: FreezingProxy) -> None:
    answer = Gate()
    world.fake.next(behaviours.answer(gate=answer))
    job_id = world.enqueue(max_attempts=1)
    with world.working(lease_seconds=6) as running:
        wait_until(lambda: world.fake.chats, "the question")
        wait_until(lambda: running.worker._keeper.has_database, "a heartbeat")
        before = world.job(job_id).lease_expires_utc
        assert proxy.freeze() >= 2
        wait_until(lambda: (world.job(job_id).lease_expires_utc - before).total_seconds() > 2, "renewed all the same")
        answer.open()
        world.wait_for(job_id, "SUCCEEDED")
    (run,) = world.runs(job_id)
    world.has_left(run, SUCCEEDED)


def test_a_call_that_freezes_before_its_commit_gives_up_its_locks(world: World, proxy: FreezingProxy) -> None:
    if engine_of(connection) is not Engine.POSTGRESQL:
        pytest.skip("on SQL Server each call is one statement, which commits without its client")
    job_id = world.enqueue()
    lock = "SELECT 1 FROM llm.job WHERE job_id = %s FOR UPDATE"
    is_locked, may_end = threading.Event(), threading.Event()

    def freeze_in_the_middle() -> None:
        with suppress(DatabaseError), limited(connections["lease"]), connections["lease"].cursor() as cursor:
            cursor.execute(lock, [job_id])
            is_locked.set()
            may_end.wait(30)
        connections.close_all()

    thread = threading.Thread(target=freeze_in_the_middle)
    thread.start()
    try:
        assert is_locked.wait(10)
        proxy.freeze()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '15s'")
            cursor.execute(lock, [job_id])
            assert cursor.fetchall() == [(1,)]
    finally:
        proxy.thaw()
        may_end.set()
        thread.join(10)


def test_a_worker_stops_in_time_though_its_connections_are_frozen(
    world: World, proxy: FreezingProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "QUEUE_CALL_SECONDS", 3600)
    monkeypatch.setattr(lease, "MIN_CALL_SECONDS", 3600)
    monkeypatch.setattr(lease, "MAX_CALL_SECONDS", 3600)
    monkeypatch.setattr(loop, "SHUTDOWN_SECONDS", 0.3)
    monkeypatch.setattr(call_thread, "END_SECONDS", 0.3)
    running = world.worker()
    wait_until(lambda: running.worker._keeper.has_beaten, "a heartbeat")
    proxy.freeze()
    running.stop()
    wait_until(lambda: running.has_ended, "the end", seconds=15)


def test_a_completion_that_was_given_up_and_arrives_late_changes_nothing(world: World, proxy: FreezingProxy) -> None:
    answer = Gate()
    world.fake.next(behaviours.answer(gate=answer))
    job_id = world.enqueue()
    with world.working(lease_seconds=6) as running:
        wait_until(lambda: world.fake.chats, "the question")
        frozen = proxy.freeze()
        answer.open()
        world.wait_for(job_id, "SUCCEEDED")
        abandoned = list(running.worker._runs._queue_thread._abandoned)  # type: ignore[attr-defined]
        assert abandoned
        assert proxy.thaw() == frozen
        for thread in abandoned:
            thread.join(10)
            assert not thread.is_alive()
    assert [run.status for run in world.runs(job_id)] == ["SUCCEEDED"]
