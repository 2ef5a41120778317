"""A database that cannot be used: one line that says what to do, whoever asks; no traceback, no password."""

import re
from typing import Any

import pytest
from psycopg import sql

from tests.acceptance.guarded_postgres import GuardedPostgres
from tests.acceptance.web_processes import Browser, serving

WRONG_PASSWORD = "wrong;{}@%canary"
NOBODYS_PASSWORD = "nobody's;{}@%canary"
CLOSED_PORT = "127.0.0.1:1"

WORKER = ("run_llm_worker", "--once")
MIGRATE = ("migrate",)
ENQUEUE = ("enqueue_jobs", "--entity-type", "character", "--entity-id", "luke", "--evidence", "Luke.")
INSPECT = ("inspect_jobs", "--list")
VERIFY = ("verify_runs",)
EXPORT = ("export_outputs", "-")
SET_UP = ("set_up_database",)

REFUSED = "refuses the user or the password of DATABASE_URL: correct them"
DOWN = f"does not answer at {CLOSED_PORT}: start it, or correct DATABASE_URL"
NO_DATABASE = "names does not exist, or its user may not open it: create or correct it"
NO_RIGHTS = "may not do this: give it its role"
OTHER_VERSION = "manage.py migrate"


def by_name(guarded: GuardedPostgres, name: str) -> dict[str, str]:
    """The environment of each case."""
    cases: dict[str, dict[str, Any]] = {
        "wrong password": {"DATABASE_PASSWORD": WRONG_PASSWORD},
        "server down": {"DATABASE_URL": f"postgresql://holocron_worker@{CLOSED_PORT}/holocron"},
        "sql server down": {"DATABASE_URL": f"mssql://holocron_worker@{CLOSED_PORT}/Holocron"},
        "no database": {"DATABASE_URL": guarded.url("holocron_worker", database="none")},
        "no rights": {"DATABASE_URL": guarded.url("nobody"), "DATABASE_PASSWORD": NOBODYS_PASSWORD},
        "nothing in it": {"DATABASE_URL": guarded.url("holocron_worker", database="template1")},
    }
    return guarded.as_worker | cases[name]


@pytest.fixture(scope="module", autouse=True)
def _a_login_without_rights(guarded: GuardedPostgres) -> None:
    with guarded.postgres.connect() as connection:
        connection.execute(sql.SQL("CREATE ROLE nobody LOGIN PASSWORD {}").format(sql.Literal(NOBODYS_PASSWORD)))


@pytest.mark.parametrize(
    ("case", "command", "advice"),
    [
        *(
            ("wrong password", command, REFUSED)
            for command in (WORKER, MIGRATE, ENQUEUE, INSPECT, VERIFY, EXPORT, SET_UP)
        ),
        ("server down", ENQUEUE, DOWN),
        ("sql server down", SET_UP, DOWN),
        ("no database", INSPECT, NO_DATABASE),
        *(("no rights", command, NO_RIGHTS) for command in (WORKER, INSPECT)),
        *(("nothing in it", command, OTHER_VERSION) for command in (WORKER, INSPECT)),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else None,
)
def test_each_command_says_in_one_line_what_to_do(
    guarded: GuardedPostgres, case: str, command: tuple[str, ...], advice: str
) -> None:
    done = guarded.manage(*command, environment=by_name(guarded, case))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    assert advice in done.stderr
    assert "Traceback" not in done.stderr
    assert "canary" not in done.stderr


def test_a_schema_of_another_version_is_named(guarded: GuardedPostgres) -> None:
    changed = "procedures/usp_claim_next_job.sql"
    with guarded.connect() as connection:
        (kept,) = connection.execute(
            "SELECT sha256 FROM llm.schema_script WHERE script_name = %s", [changed]
        ).fetchone() or ("",)
        put = "UPDATE llm.schema_script SET sha256 = %s WHERE script_name = %s"
        connection.execute(put, ["0" * 64, changed])
        try:
            done = guarded.manage(*WORKER, environment=guarded.as_worker)
        finally:
            connection.execute(put, [kept, changed])
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert f"{changed}: differs. Run: manage.py migrate" in done.stderr


def test_the_web_server_starts_and_reports_the_database_in_readyz_and_its_log(guarded: GuardedPostgres) -> None:
    environment = guarded.as_web | {"DATABASE_PASSWORD": WRONG_PASSWORD}
    with serving(guarded, environment) as address:
        browser = Browser(address)
        assert browser.get("/healthz") == (200, "ok")
        status, told = browser.get("/readyz")
    said = (guarded.folder / "web.log").read_text("utf-8")
    assert status == 503
    assert re.search(r'"database": \{"ok": false, "reason": "[^"]+"', told)
    assert "Traceback" not in said
    for text in (told, said):
        assert "canary" not in text
