from pathlib import Path

import pytest

from derive.sql.scripts import (
    PROCEDURES,
    SCRIPTS_FOLDER,
    TABLES,
    compare,
    read_script,
    read_scripts,
    split_batches,
)
from derive.sql.tables import Engine


def write(folder: Path, name: str, content: bytes, engine: Engine = Engine.SQLSERVER) -> None:
    path = folder / engine / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_a_scripts_hash_does_not_depend_on_its_line_ends(tmp_path: Path) -> None:
    for name, ends in (("tables/1.sql", b"\n"), ("tables/2.sql", b"\r\n"), ("tables/3.sql", b"\r")):
        write(tmp_path, name, ends.join((b"SELECT 1;", b"GO", b"")))
    scripts = read_scripts(Engine.SQLSERVER, TABLES, tmp_path)
    assert {(script.text, script.sha256) for script in scripts} == {("SELECT 1;\nGO\n", scripts[0].sha256)}


def test_scripts_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for number in ("0010_c", "0002_b", "0001_a"):
        write(tmp_path, f"tables/{number}.sql", b"SELECT 1;")
    names = [script.name for script in read_scripts(Engine.SQLSERVER, TABLES, tmp_path)]
    assert names == ["tables/0001_a.sql", "tables/0002_b.sql", "tables/0010_c.sql"]


def test_a_script_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "tables/1.sql", b"SELECT '\xff';")
    with pytest.raises(UnicodeDecodeError):
        read_script(Engine.SQLSERVER, "tables/1.sql", tmp_path)


@pytest.mark.parametrize("separator", ["GO", "go", "  GO  ", "\tGo", "GO;"])
def test_a_line_that_holds_only_go_ends_a_batch(separator: str) -> None:
    batches = split_batches(Engine.SQLSERVER, f"SELECT 1;\n{separator}\nSELECT 2;\n{separator}\n")
    assert [batch.strip() for batch in batches] == ["SELECT 1;", "SELECT 2;"]


@pytest.mark.parametrize("line", ["GOTO done;", "SELECT 'GO';", "-- GO", "GO 5 times", "CARGO", "GO_ON"])
def test_other_lines_do_not(line: str) -> None:
    assert split_batches(Engine.SQLSERVER, f"SELECT 1;\n{line}\nSELECT 2;") == (f"SELECT 1;\n{line}\nSELECT 2;",)


def test_empty_batches_are_not_sent() -> None:
    assert split_batches(Engine.SQLSERVER, "GO\n\nGO\nSELECT 1;\nGO\n  \n") == ("\nSELECT 1;\n",)


def test_postgresql_takes_a_script_whole() -> None:
    assert split_batches(Engine.POSTGRESQL, "SELECT 1;\nGO\n") == ("SELECT 1;\nGO\n",)


def test_every_difference_has_a_line() -> None:
    lines = compare({"a": "1", "b": "2", "c": "3"}, {"a": "1", "b": "x", "d": "4"})
    assert lines == ["b: differs", "c: not installed", "d: installed, but not in this tree"]


@pytest.mark.parametrize("kind", [TABLES, PROCEDURES])
def test_every_script_has_its_twin(kind: str) -> None:
    names = {engine: [script.name for script in read_scripts(engine, kind)] for engine in Engine}
    assert names[Engine.POSTGRESQL] == names[Engine.SQLSERVER]
    assert names[Engine.POSTGRESQL]


def test_the_migrations_name_every_tables_script() -> None:
    from importlib import import_module

    from derive.sql.migrating import TableScript

    named = []
    for path in sorted((SCRIPTS_FOLDER.parent / "derive" / "migrations").glob("0*.py")):
        migration = import_module(f"derive.migrations.{path.stem}").Migration
        named += [f"tables/{step.name}.sql" for step in migration.operations if isinstance(step, TableScript)]
    assert named == [script.name for script in read_scripts(Engine.POSTGRESQL, TABLES)]
