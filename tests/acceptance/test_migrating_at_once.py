"""Several first starts at the same moment, as containers make them: one does it, the others wait and find it done."""

import subprocess
import sys
from pathlib import Path

from holocron.settings import BASE_DIR
from tests.acceptance.command_world import World
from tests.acceptance.guarded_postgres import start_guarded
from tests.acceptance.worker_processes import ProcessWorld

SECONDS = 240


def at_once(environment: dict[str, str], *arguments: str, times: int) -> list[tuple[int, str, str]]:
    """Start the command so many times together; return exit codes and what each said and complained of."""
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "manage.py", *arguments],
            cwd=BASE_DIR,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(times)
    ]
    said = [process.communicate(timeout=SECONDS) for process in started]
    return [(process.returncode, *both) for process, both in zip(started, said, strict=True)]


def test_three_concurrent_first_migrations_succeed(world: ProcessWorld) -> None:
    world.sql("CREATE DATABASE migrated_at_once")
    environment = world.environment | {"DATABASE_URL": world.postgres.url.replace("/holocron?", "/migrated_at_once?")}
    ended = at_once(environment, "migrate", times=3)
    assert [code for code, _, _ in ended] == [0, 0, 0], ended
    assert sum("Installed" in said for _, said, _ in ended) == 1
    assert sum("No migrations to apply" in said for _, said, _ in ended) == 2
    waited = [complained for _, _, complained in ended if complained]
    assert all(
        line == "migrate: another process is migrating this database; waiting for it to end\n" for line in waited
    )


def test_two_concurrent_set_ups_succeed(tmp_path: Path) -> None:
    guarded = start_guarded(tmp_path)
    try:
        passwords = {"HOLOCRON_WORKER_PASSWORD": "w", "HOLOCRON_WEB_PASSWORD": "b"}
        ended = at_once(guarded.environment(**passwords), "set_up_database", times=2)
        assert [code for code, _, _ in ended] == [0, 0], ended
    finally:
        guarded.postgres.stop()


def test_two_demos_in_an_empty_world_both_end_well(tmp_path: Path) -> None:
    world = World(tmp_path)
    environment = world.environment | {"OLLAMA_BASE_URL": "http://127.0.0.1:1", "LAKE_URL": ""}
    ended = at_once(environment, "demo", "--here", "--once", "--json", times=2)
    assert [code for code, _, _ in ended] == [0, 0], ended


def test_a_killed_migration_does_not_block_others(world: ProcessWorld) -> None:
    held = world.postgres.connect()
    held.execute("BEGIN")
    held.execute("SELECT pg_advisory_xact_lock(4871023596102)")
    process = subprocess.Popen(
        [sys.executable, "manage.py", "migrate"],
        cwd=BASE_DIR,
        env=world.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "another process is migrating this database" in process.stderr.readline()
    world.sql(f"SELECT pg_terminate_backend({held.info.backend_pid})")
    held.close()
    _said, complained = process.communicate(timeout=SECONDS)
    assert (process.returncode, complained) == (0, "")
