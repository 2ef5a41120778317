"""``manage.py set_up_database`` on a real server, and the processes with no more rights than it gave them."""

import json
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tests.acceptance.guarded_postgres import DATABASE, WEB_PASSWORD, WORKER_PASSWORD, GuardedPostgres
from tests.acceptance.web_processes import Browser, running, serving
from tests.acceptance.worker_processes import wait_until
from tests.fake_ollama import FakeOllama, behaviours
from tests.faults.worker_world import GOOD_ANSWER, KEY, input_json

ADMIN_PASSWORD = "a-password-of-the-site-1"


def rows(guarded: GuardedPostgres, statement: str, user: str = "postgres", password: str = "") -> list[Any]:
    with guarded.connect(user, password) as connection:
        return connection.execute(statement.encode()).fetchall()


def test_it_can_be_repeated_and_reports_what_exists(guarded: GuardedPostgres) -> None:
    done = guarded.set_up()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"database {DATABASE}: exists already",
        "tables and procedures: up to date",
        "login holocron_worker: can log in, with the role llm_worker",
        "login holocron_web: can log in, with the role llm_operator and holocron_site",
    ]
    assert done.stderr == ""


def test_a_changed_password_holds_from_then_on(guarded: GuardedPostgres) -> None:
    try:
        assert guarded.set_up(HOLOCRON_WORKER_PASSWORD="another;{}@%").returncode == 0
        guarded.connect("holocron_worker", "another;{}@%").close()
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            guarded.connect("holocron_worker", WORKER_PASSWORD)
    finally:
        assert guarded.set_up().returncode == 0
    guarded.connect("holocron_worker", WORKER_PASSWORD).close()


def test_the_logins_may_nothing_on_the_server_itself(guarded: GuardedPostgres) -> None:
    found = rows(
        guarded,
        "SELECT rolname, rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication OR rolbypassrls "
        "FROM pg_roles WHERE rolname LIKE 'holocron%'",
    )
    assert dict(found) == {"holocron_worker": False, "holocron_web": False, "holocron_site": False}


def test_an_administrator_who_is_no_superuser_is_enough(guarded: GuardedPostgres) -> None:
    boss, database = "boss", "of the boss"
    with guarded.connect("postgres") as connection:
        connection.execute("CREATE ROLE boss LOGIN PASSWORD 'b' CREATEDB CREATEROLE")
        for role in ("llm_worker", "llm_operator", "llm_reader", "holocron_site", "holocron_worker", "holocron_web"):
            connection.execute(sql.SQL("GRANT {} TO boss WITH ADMIN OPTION").format(sql.Identifier(role)))
    done = guarded.set_up(boss, "b", DATABASE_URL=guarded.url(boss, database=database))
    assert done.returncode == 0, done.stderr
    assert f"database {database}: created" in done.stdout


def test_missing_rights_to_create_logins_are_reported_in_one_line(guarded: GuardedPostgres) -> None:
    done = guarded.set_up("holocron_web", WEB_PASSWORD, HOLOCRON_WEB_PASSWORD="")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "may not do this" in done.stderr
    assert "run it as one who may" in done.stderr


def test_a_login_does_not_set_itself_up(guarded: GuardedPostgres) -> None:
    done = guarded.set_up("holocron_web", WEB_PASSWORD)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "let DATABASE_URL name the server's administrator" in done.stderr


def test_a_password_that_cannot_be_given_stops_it_before_anything_is_made(guarded: GuardedPostgres) -> None:
    done = guarded.set_up(HOLOCRON_WEB_PASSWORD="x" * 129)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "holocron_web is longer than 128" in done.stderr


def test_the_first_superuser_is_made_once_and_never_changed(guarded: GuardedPostgres) -> None:
    password, found = "First;'{}@%1 of the site", "SELECT username, password, is_superuser FROM auth_user"
    made = guarded.set_up(HOLOCRON_ADMIN_PASSWORD=password)
    try:
        assert made.stdout.splitlines()[-1] == "superuser admin: created"
        before = rows(guarded, found)
        with serving(guarded, guarded.as_web) as address:
            Browser(address).log_in("admin", password)
        again = guarded.set_up(HOLOCRON_ADMIN_PASSWORD="Another;{}@%2 of the site")
        assert again.stdout.splitlines()[-1] == "superuser: exists already, unchanged"
        assert rows(guarded, found) == before
        with guarded.connect("postgres") as connection:
            connection.execute("UPDATE auth_user SET is_superuser = false")
        kept = guarded.set_up(HOLOCRON_ADMIN_PASSWORD=password)
        assert "not created, because an account admin exists" in kept.stdout
        assert [one[2] for one in rows(guarded, found)] == [False]
        for said in (made, again, kept):
            assert password not in said.stdout + said.stderr
        assert password not in guarded.postgres.log
    finally:
        with guarded.connect("postgres") as connection:
            connection.execute("DELETE FROM auth_user")


def test_a_first_password_that_is_too_plain_stops_it_before_anything_is_made(guarded: GuardedPostgres) -> None:
    done = guarded.set_up(HOLOCRON_ADMIN_PASSWORD="admin")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "HOLOCRON_ADMIN_PASSWORD: " in done.stderr


def test_the_embedded_server_needs_none(guarded: GuardedPostgres) -> None:
    done = guarded.manage("set_up_database", environment=guarded.environment(DATABASE_URL=""))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "run manage.py migrate" in done.stderr


def test_web_worker_and_schedules_run_with_the_rights_they_were_given(guarded: GuardedPostgres) -> None:
    accounts = guarded.as_web | {"DJANGO_SUPERUSER_PASSWORD": ADMIN_PASSWORD}
    made = guarded.manage(
        *("createsuperuser", "--noinput", "--username", "ada", "--email", "ada@holocron.example"), environment=accounts
    )
    assert made.returncode == 0, made.stderr
    enqueued = guarded.manage(
        *("enqueue_jobs", "--interrogation", KEY, "--input-json", input_json(), "--json"), environment=guarded.as_web
    )
    assert enqueued.returncode == 0, enqueued.stderr
    job_id = json.loads(enqueued.stdout)["job_id"]

    with FakeOllama() as fake:
        fake.always(behaviours.answer(GOOD_ANSWER))
        worked = guarded.manage(
            "run_llm_worker", "--once", environment=guarded.as_worker | {"OLLAMA_BASE_URL": fake.url}
        )
    assert worked.returncode == 0, worked.stderr
    assert guarded.manage("verify_runs", environment=guarded.as_web).returncode == 0

    with serving(guarded, guarded.as_web) as address:
        browser = Browser(address)
        assert browser.get("/readyz")[0] == 200
        browser.log_in("ada", ADMIN_PASSWORD)
        status, page = browser.get(f"/admin/derive/job/{job_id}/change/")
        assert status == 200
        assert "SUCCEEDED" in page
        assert browser.get("/metrics")[0] == 200

    said_by = rows(guarded, f"SELECT event, db_user FROM llm.job_event WHERE job_id = '{job_id}' ORDER BY event_seq")
    assert said_by == [("enqueued", "holocron_web"), ("claimed", "holocron_worker"), ("completed", "holocron_worker")]


def test_schedules_run_with_the_sites_rights(guarded: GuardedPostgres) -> None:
    """The scheduler finds what is due, works it off, and keeps what came of it."""
    with guarded.connect("postgres") as connection:
        connection.execute("UPDATE django_q_schedule SET next_run = now() - interval '1 second'")
    log = guarded.folder / "qcluster.log"
    with log.open("wb") as said, running("manage.py", "qcluster", environment=guarded.as_web, said=said):
        begun = "SELECT count(*) FROM derive_taskstate WHERE succeeded_utc IS NOT NULL"
        wait_until(lambda: rows(guarded, begun)[0][0] >= 2, f"two system tasks are done, see {log}")
