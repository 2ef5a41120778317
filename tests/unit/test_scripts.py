from pathlib import Path

import pytest

from derive.errors import AccessDenied
from derive.sql import scripts
from derive.sql.scripts import (
    _CREATE_OR_ALTER,
    PROCEDURES,
    SCRIPTS_FOLDER,
    TABLES,
    _in_words_of,
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


class TellingConnection:
    """Stands where a SQL Server's would: it knows some procedures, and hears what it is sent."""

    vendor = "microsoft"

    def __init__(self, *known: str) -> None:
        self._known = known
        self._asked = ""

    def cursor(self) -> "TellingConnection":
        return self

    def __enter__(self) -> "TellingConnection":
        return self

    def __exit__(self, *_raised: object) -> None:
        return None

    def execute(self, _sql: str, values: list[str]) -> None:
        (self._asked,) = values

    def fetchone(self) -> tuple[int]:
        return (int(self._asked in self._known),)


@pytest.mark.parametrize(("known", "verb"), [((), "CREATE"), (("llm.usp_claim",), "ALTER")])
def test_a_procedure_is_made_or_changed_in_words_that_every_server_knows(known: tuple[str, ...], verb: str) -> None:
    comment, rest = "-- CREATE OR ALTER PROCEDURE llm.other\n", " PROCEDURE llm.usp_claim\n    @a int\nAS SELECT 1;\n"
    sent = _in_words_of(TellingConnection(*known), f"{comment}CREATE OR ALTER{rest}")  # type: ignore[arg-type]
    assert sent == f"{comment}{verb}{rest}"


@pytest.mark.parametrize("batch", ["GRANT EXECUTE ON llm.usp_claim TO llm_worker;", "CREATE TABLE llm.a (b int);"])
def test_other_batches_are_sent_unchanged(batch: str) -> None:
    assert _in_words_of(TellingConnection(), batch) == batch  # type: ignore[arg-type]


def test_every_procedure_begins_in_the_words_that_are_looked_for() -> None:
    for script in read_scripts(Engine.SQLSERVER, PROCEDURES):
        found = [_CREATE_OR_ALTER.search(batch) for batch in split_batches(Engine.SQLSERVER, script.text)]
        names = [one["name"] for one in found if one]
        assert f"llm.{Path(script.name).stem}" in names, script.name
        assert script.text.upper().count("\nCREATE OR ALTER PROCEDURE") == len(names), script.name


def test_the_database_decides_whether_a_script_is_on_record() -> None:
    """The driver's count of changed rows is -1 where the server's ``user options`` set NOCOUNT."""
    assert "rowcount" not in Path(scripts.__file__).read_text("utf-8")
    assert "IF @@ROWCOUNT = 0 INSERT" in scripts._RECORD_SQL[Engine.SQLSERVER]
    assert "ON CONFLICT" in scripts._RECORD_SQL[Engine.POSTGRESQL]


class PoorConnection:
    """Stands where a SQL Server's would, for a login that finds no role and may make none."""

    vendor = "microsoft"

    def __init__(self) -> None:
        self.sent: list[str] = []

    def cursor(self) -> "PoorConnection":
        return self

    def __enter__(self) -> "PoorConnection":
        return self

    def __exit__(self, *_raised: object) -> None:
        return None

    def execute(self, sql: str, _values: object = None) -> None:
        self.sent.append(sql)

    def fetchall(self) -> list[tuple[str]]:
        return []

    def fetchone(self) -> tuple[int]:
        return (0,)


def test_missing_rights_to_create_sql_server_roles_are_reported_before_any_change() -> None:
    connection = PoorConnection()
    with pytest.raises(AccessDenied, match="run: CREATE ROLE llm_worker; CREATE ROLE llm_operator; CREATE ROLE llm_re"):
        scripts.apply_table_script(connection, "0001_schema")  # type: ignore[arg-type]
    assert all(sql.startswith("SELECT ") for sql in connection.sent)
