"""Databases whose administrators chose otherwise: their settings are put right, or one line says what cannot be."""

from pathlib import Path

import pytest

from tests.acceptance.test_pooler import manage
from tests.acceptance.worker_processes import ProcessWorld
from tests.faults.worker_world import KEY, input_json


def environment_of(world: ProcessWorld, name: str) -> dict[str, str]:
    return world.environment | {"DATABASE_URL": world.postgres.url.replace("/holocron?", f"/{name}?")}


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_in_another_encoding_is_refused_in_one_line(world: ProcessWorld, encoding: str) -> None:
    name = f"in_{encoding.lower()}"
    world.sql(f"CREATE DATABASE {name} ENCODING '{encoding}' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")
    for command in (("migrate",), ("run_llm_worker", "--once"), ("inspect_jobs", "--list"), ("set_up_database",)):
        done = manage(environment_of(world, name), *command)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert f"encoded in {encoding}" in done.stderr
        assert "ENCODING 'UTF8' TEMPLATE template0" in done.stderr


def test_a_database_with_other_settings_is_worked_with(world: ProcessWorld, tmp_path: Path) -> None:
    world.sql("CREATE DATABASE with_other_settings")
    for setting in (
        "datestyle = 'SQL, DMY'",
        "standard_conforming_strings = off",
        "intervalstyle = 'sql_standard'",
        "bytea_output = 'escape'",
        "timezone = 'Asia/Kathmandu'",
        "client_encoding = 'LATIN1'",
    ):
        world.sql(f"ALTER DATABASE with_other_settings SET {setting}")
    environment = environment_of(world, "with_other_settings")
    for command in (
        ("migrate",),
        ("enqueue_jobs", "--interrogation", KEY, "--input-json", input_json(), "--entity-id", "\u017baneta's \\n"),
        ("run_llm_worker", "--once"),
        ("export_outputs", str(tmp_path / "answers.jsonl")),
        ("export_outputs", str(tmp_path / "facts.csv"), "--facts"),
        ("verify_runs",),
        ("seal_audit",),
        ("verify_audit",),
        ("inspect_jobs", "--list"),
    ):
        done = manage(environment, *command)
        assert done.returncode == 0, (command, done.stderr)
    assert "\u017baneta" in done.stdout
