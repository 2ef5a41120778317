"""What ``migrate`` leaves in the database, and how a worker knows that it is this tree's."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection, models, transaction

from derive.errors import SchemaMismatch
from derive.models import SchemaScript
from derive.queue import JobQueue
from derive.sql import scripts
from derive.sql.migrating import install_procedures_after_migrate
from derive.sql.procedures import PROCEDURES
from derive.sql.tables import Engine, engine_of
from tests.contract.babelfish import Lack, lacks

CLAIM = "procedures/usp_claim_next_job.sql"


@pytest.fixture
def tree(queue: JobQueue, tmp_path: Path) -> Iterator[Path]:
    """A copy of the scripts to change; the database's record is put back afterwards."""
    copy = tmp_path / "migrations_sql"
    shutil.copytree(scripts.SCRIPTS_FOLDER, copy)
    yield copy
    recorded = scripts.recorded_hashes(connection)
    own = scripts._hashes(scripts.read_scripts(engine_of(connection), scripts.TABLES))
    with connection.cursor() as cursor:
        for name in recorded.keys() - own.keys():
            if name.startswith(scripts.TABLES):
                cursor.execute("DELETE FROM llm.schema_script WHERE script_name = %s", [name])
    for name in own:
        _record(name, own[name])
    _forget_foreign_procedures()
    scripts.install_procedures(connection)
    scripts.check_schema(connection)


def _record(name: str, sha256: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE llm.schema_script SET sha256 = %s WHERE script_name = %s", [sha256, name])


def _forget_foreign_procedures() -> None:
    own = {script.name for script in scripts.read_scripts(engine_of(connection), scripts.PROCEDURES)}
    with connection.cursor() as cursor:
        for name in SchemaScript.objects.filter(script_name__startswith="procedures/").values_list("pk", flat=True):
            if name not in own:
                cursor.execute("DELETE FROM llm.schema_script WHERE script_name = %s", [name])


def _change(tree: Path, name: str) -> None:
    path = tree / engine_of(connection) / name
    path.write_bytes(path.read_bytes() + b"\n-- changed\n")


def test_after_migrate_the_database_has_this_trees_scripts(queue: JobQueue) -> None:
    scripts.check_schema(connection)
    names = set(SchemaScript.objects.values_list("script_name", flat=True))
    assert {f"procedures/{procedure.name}.sql" for procedure in PROCEDURES} <= names


@pytest.mark.django_db
def test_migrate_may_be_repeated() -> None:
    before = set(SchemaScript.objects.values_list("script_name", "sha256", "applied_utc"))
    call_command("migrate", verbosity=0)
    assert set(SchemaScript.objects.values_list("script_name", "sha256", "applied_utc")) == before


@lacks(Lack.NAMED_INDEXES)
def test_every_script_may_be_run_again(queue: JobQueue) -> None:
    engine = engine_of(connection)
    with connection.cursor() as cursor:
        # As the README of the scripts says: a view is not replaced by an earlier form of itself everywhere.
        cursor.execute(
            "DROP VIEW IF EXISTS llm.v_admitted_fact, llm.v_entity_fact, llm.v_run_metrics, llm.v_job_status"
        )
    for script in scripts.read_scripts(engine, scripts.TABLES) + scripts.read_scripts(engine, scripts.PROCEDURES):
        with transaction.atomic():
            scripts._apply(connection, script)
    assert queue.claim("w") == []
    scripts.check_schema(connection)


@pytest.mark.django_db
def test_the_models_need_no_further_migration() -> None:
    call_command("makemigrations", "derive", check=True, dry_run=True, verbosity=0)


def test_every_models_columns_are_those_of_its_table(queue: JobQueue) -> None:
    with connection.cursor() as cursor:
        for model in apps.get_app_config("derive").get_models():
            cursor.execute(f"SELECT * FROM {model._meta.db_table} WHERE 1 = 0")
            fields: list[models.Field[object, object]] = list(model._meta.concrete_fields)
            assert {column[0] for column in cursor.description} == {field.column for field in fields}, model.__name__


def test_a_procedure_whose_text_differs_is_run_again_and_only_that(tree: Path) -> None:
    _change(tree, CLAIM)
    with pytest.raises(SchemaMismatch, match=f"{CLAIM}: differs"):
        scripts.check_schema(connection, tree)
    assert scripts.install_procedures(connection, tree) == [CLAIM]
    scripts.check_schema(connection, tree)
    assert scripts.install_procedures(connection, tree) == []


def test_a_check_names_every_script_that_differs_is_missing_or_is_not_known(tree: Path) -> None:
    folder = tree / engine_of(connection) / "procedures"
    _change(tree, CLAIM)
    (folder / "usp_new.sql").write_bytes(b"SELECT 1;\n")
    (folder / "usp_heartbeat.sql").unlink()
    with pytest.raises(SchemaMismatch) as mismatch:
        scripts.check_schema(connection, tree)
    for line in (
        f"{CLAIM}: differs",
        "procedures/usp_new.sql: not installed",
        "procedures/usp_heartbeat.sql: installed, but not in this tree",
    ):
        assert line in str(mismatch.value)


def test_a_tree_older_than_the_database_installs_nothing(tree: Path) -> None:
    (tree / engine_of(connection) / "procedures/usp_heartbeat.sql").unlink()
    _change(tree, CLAIM)
    with pytest.raises(SchemaMismatch, match="newer than this tree"):
        scripts.install_procedures(connection, tree)
    scripts.check_schema(connection)


def test_a_tables_script_that_was_edited_after_it_ran_is_refused(tree: Path) -> None:
    _change(tree, "tables/0004_job.sql")
    _change(tree, CLAIM)
    with pytest.raises(SchemaMismatch, match=r"tables/0004_job\.sql"):
        scripts.install_procedures(connection, tree)
    scripts.check_schema(connection)


def test_procedures_wait_for_tables_that_are_still_to_come(tree: Path) -> None:
    (tree / engine_of(connection) / "tables/9999_later.sql").write_bytes(b"SELECT 1;\n")
    _change(tree, CLAIM)
    assert scripts.install_procedures(connection, tree) == []
    with transaction.atomic():
        scripts.apply_table_script(connection, "9999_later", tree)
    assert scripts.install_procedures(connection, tree) == [CLAIM]
    scripts.check_schema(connection, tree)


SWALLOW_SQL = {
    Engine.POSTGRESQL: (
        "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
        "CREATE TRIGGER swallow BEFORE INSERT OR UPDATE ON llm.schema_script FOR EACH ROW EXECUTE PROCEDURE swallow()",
    ),
    Engine.SQLSERVER: (
        "CREATE TRIGGER llm.swallow ON llm.schema_script INSTEAD OF INSERT, UPDATE AS BEGIN SET NOCOUNT ON; END",
    ),
}
FORGET_SQL = {
    Engine.POSTGRESQL: ("DROP TRIGGER swallow ON llm.schema_script", "DROP FUNCTION swallow"),
    Engine.SQLSERVER: ("DROP TRIGGER llm.swallow",),
}


def test_a_script_whose_record_does_not_take_is_no_success(tree: Path) -> None:
    _change(tree, CLAIM)
    engine = engine_of(connection)
    with connection.cursor() as cursor:
        for statement in SWALLOW_SQL[engine]:
            cursor.execute(statement)
        try:
            with pytest.raises(SchemaMismatch, match=f"did not take the record of {CLAIM}"):
                scripts.install_procedures(connection, tree)
        finally:
            for statement in FORGET_SQL[engine]:
                cursor.execute(statement)
    scripts.check_schema(connection)


def test_a_script_is_recorded_once_however_often_it_is_run(tree: Path) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM llm.schema_script WHERE script_name = %s", [CLAIM])
    assert scripts.install_procedures(connection, tree) == [CLAIM]
    _change(tree, CLAIM)
    assert scripts.install_procedures(connection, tree) == [CLAIM]
    assert SchemaScript.objects.filter(pk=CLAIM).count() == 1
    scripts.check_schema(connection, tree)


def test_migrate_does_not_call_an_empty_record_a_success(queue: JobQueue) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM llm.schema_script")
        with pytest.raises(CommandError, match=r"does not have scripts that were run: tables/0001_schema\.sql"):
            install_procedures_after_migrate(using=connection.alias)
        transaction.set_rollback(True)
    scripts.check_schema(connection)


def test_a_procedure_that_cannot_be_installed_leaves_the_others_as_they_were(tree: Path) -> None:
    _change(tree, CLAIM)
    (tree / engine_of(connection) / "procedures/usp_zzz.sql").write_bytes(b"THIS IS NO SQL;\n")
    with pytest.raises(Exception, match=r"THIS|syntax"):
        scripts.install_procedures(connection, tree)
    scripts.check_schema(connection)
