"""What every test shares. One run knows one engine: the one that DATABASE_URL names, the embedded one without it."""

import gc
import os
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import hypothesis
import pytest
from django.core.management.commands import flush as flush_command
from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import testcases

# Children before parents: there are foreign keys from artifact and fact to run and from run to job.
OWN_TABLES = (
    "delivery",
    "subject",
    "derivation",
    "past_answer",
    "fact",
    "fact_review",
    "review_policy",
    "fact_set",
    "artifact",
    "run",
    "job_event",
    "job",
    "batch",
    "batch_event",
    "batch_count",
    "batch_progress",
    "batch_spend",
    "endpoint",
    "worker",
    "interrogation",
    "lake_deletion",
    "seal",
    "stat_hour",
    "stat_hour_time",
    "stat_mark",
    "lake",
    "staged_jobs",
    "model",
    "model_event",
    "model_start",
    "golden_case",
    "experiment",
    "experiment_case",
    "interrogation_live",
    "interrogation_event",
)

WRITTEN_BY_MIGRATE = ("django_content_type", "auth_permission", "auth_group", "auth_group_permissions")

# A deadline would measure the machine, which is shared. In CI hypothesis's own profile holds: no deadline, no chance.
hypothesis.settings.register_profile("holocron", deadline=None, print_blob=True)
if hypothesis.settings.get_current_profile_name() == "default":
    hypothesis.settings.load_profile("holocron")


MOST_AT_ONCE = 8
"""Processes that test at once: each has a database of its own on one server, whose connections are bounded."""


# Optional: who runs the contract tests alone may have no pytest-xdist.
@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Say how many processes ``-n auto`` is: one more than there are processors, since much of a test is waiting."""
    return min((os.cpu_count() or 1) + 1, MOST_AT_ONCE)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without looking for garbage, and never look over again what was collected: it stays to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give a test that asks for ``empty_queue`` a test database whose transactions are real.

    Django's own tables are then not flushed, which takes longer than most tests; one that writes to those asks for
    ``transactional_db`` too. What asks for a database in any way is marked ``database``, so that ``make check`` can do
    without one.
    """
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        asked = {"db", "transactional_db", "live_server"} & fixtures or item.get_closest_marker("django_db")
        if "empty_queue" in fixtures and not asked:
            # "lease" leads to the same database: the way of a worker's heartbeats.
            item.add_marker(
                pytest.mark.django_db(transaction=True, databases=["default", "lease"], available_apps=["derive"])
            )
        if asked or "empty_queue" in fixtures:
            item.add_marker(pytest.mark.database)


@pytest.fixture(scope="session", autouse=True)
def flush_keeps_what_migrate_wrote() -> Iterator[None]:
    """Let a flush after a test leave the rows of ``WRITTEN_BY_MIGRATE``, and make the schedules anew without a migrate.

    Django would delete every row and emit ``post_migrate``: some four hundred queries for the same permissions, and the
    procedures' scripts read and hashed, at each test's end. No test writes those tables.

    Nor is it emitted before a test that sees the app ``derive`` alone: that takes longer than most of them, for rows
    that are there.

    On PostgreSQL there is no command that asks which tables exist and truncates each: that takes longer than most
    tests. mssql-django switches off the constraints of every schema's tables, by table names without a schema, and so
    fails where ``llm`` is: here only those of the tables that it flushes.
    """
    operations = type(connection.ops)
    flush = operations.sql_flush

    def empty_after(case: testcases.TransactionTestCase) -> None:
        for alias in case._databases_names(include_mirrors=False):  # type: ignore[attr-defined] # no stub has it
            empty_django_tables(alias)
            if case.available_apps is None:
                make_schedules(verbosity=0, interactive=False, db=alias)

    def flush_these(self: Any, style: Any, tables: Sequence[str], *args: Any, **options: Any) -> list[str]:
        emptied = [table for table in tables if table not in WRITTEN_BY_MIGRATE]
        own = {self.quote_name(table) for table in emptied}
        statements = flush(self, style, emptied, *args, **options)
        return [one for one in statements if not one.startswith("ALTER TABLE ") or one.split()[2] in own]

    def make_schedules(verbosity: int, interactive: bool, db: str) -> None:
        from derive.schedules.installing import install_schedules

        install_schedules(db)

    with pytest.MonkeyPatch.context() as patch:
        if connection.vendor == "microsoft":
            patch.setattr(operations, "sql_flush", flush_these)
        else:
            patch.setattr(testcases.TransactionTestCase, "_fixture_teardown", empty_after)
        patch.setattr(flush_command, "emit_post_migrate_signal", make_schedules)
        patch.setattr(testcases, "emit_post_migrate_signal", lambda **_: None)
        yield


@pytest.fixture
def empty_queue(_django_db_marker: None) -> Iterator[None]:
    """An empty queue, in a test whose transactions are real.

    Django flushes only the tables it manages, and none of ``llm`` is: they are emptied here, after the test as well, so
    that no other test finds a row.
    """
    empty_own_tables()
    yield
    empty_own_tables()


@pytest.fixture
def no_autovacuum(empty_queue: None) -> Iterator[None]:
    """An empty queue that autovacuum leaves alone, for tests that count the pages a statement reads.

    It would take statistics at any moment, also of a table that the test before has just emptied, and while it takes
    them no dead row may be skipped.
    """
    _set_on_own_tables("SET (autovacuum_enabled = off)")
    yield
    _set_on_own_tables("RESET (autovacuum_enabled)")


def _set_on_own_tables(change: str) -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # Waits for one that has begun, which gives way within a second.
            cursor.execute("; ".join(f"ALTER TABLE llm.{table} {change}" for table in OWN_TABLES))


def empty_own_tables() -> None:
    """Delete every row of the schema ``llm`` of the test database, but for the installed scripts' hashes."""
    empty_tables("default", [f"llm.{table}" for table in OWN_TABLES])


def empty_django_tables(alias: str) -> None:
    """Delete every row of the tables that the installed apps manage, but for what migrate wrote."""
    names = connections[alias].introspection.django_table_names(include_views=False)
    quote = connections[alias].ops.quote_name
    empty_tables(alias, [quote(name) for name in names if name not in WRITTEN_BY_MIGRATE])


def empty_tables(alias: str, tables: Sequence[str]) -> None:
    """Delete every row of these tables of the test database, children before parents."""
    emptied = connections[alias]
    assert str(emptied.settings_dict["NAME"]).startswith("test_"), "only a test database is ever emptied"
    with emptied.cursor() as cursor:
        if emptied.vendor == "postgresql":
            # Taken at once, as one transaction, at whose end Django's foreign keys are looked at.
            if found := tables_with_rows(emptied, tables):
                cursor.execute("; ".join(f"DELETE FROM {table}" for table in found))
            return
        for table in tables:
            cursor.execute(f"DELETE FROM {table}")


STATEMENTS: dict[tuple[str, ...], str] = {}
"""The names of the prepared statements, by the tables that they look at."""


def tables_with_rows(looked_at: BaseDatabaseWrapper, tables: Sequence[str]) -> list[str]:
    """Return which tables hold a row; of thirty most are empty, and to plan a DELETE takes longer than to look.

    The look is prepared once for each connection to PostgreSQL, and again where the driver has thrown it away.
    """
    name = STATEMENTS.setdefault(tuple(tables), f"tables_with_rows_{len(STATEMENTS)}")
    with looked_at.cursor() as cursor:
        # A failing EXECUTE would end the transaction that a test may have open.
        cursor.execute("SELECT 1 FROM pg_catalog.pg_prepared_statements WHERE name = %s", [name])
        if cursor.fetchone() is None:
            looks = (f"SELECT {at} WHERE EXISTS (SELECT FROM {table})" for at, table in enumerate(tables))
            cursor.execute(f"PREPARE {name} AS {' UNION ALL '.join(looks)}")
        cursor.execute(f"EXECUTE {name}")
        return [tables[at] for at in sorted(at for (at,) in cursor.fetchall())]
