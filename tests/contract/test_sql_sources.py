"""A view as a source: its rows are streamed as subjects, and what is wrong with it is said where it is looked for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.conf import settings
from django.db import connection

from derive.errors import SourceError
from derive.sources.contract import SourceSubject, SubjectEvidence, Unreadable
from derive.sources.registry import SourceRegistry
from derive.sql.tables import Engine, engine_of
from tests.contract.sessions import a_session

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["derive"])

TYPES = {
    Engine.POSTGRESQL: {"text": "text", "key": "varchar(900)", "time": "timestamptz"},
    Engine.SQLSERVER: {"text": "nvarchar(max)", "key": "nvarchar(900)", "time": "datetime2(7)"},
}
TABLE = """
CREATE TABLE source_test.letter (
    number int NOT NULL, name {key} NULL, body {text} NULL, note {text} NULL, link {text} NULL, changed {time} NULL
)
"""
KEYS = 'view = "source_test.letter"\nentity = "name"\ntext = "body"\n'
LONG = 1_000_000


@pytest.fixture(autouse=True)
def letters(transactional_db: None) -> Iterator[None]:
    """An empty table in a schema of its own."""
    drop()
    run("CREATE SCHEMA source_test")
    run(TABLE.format_map(TYPES[engine_of(connection)]))
    yield
    drop()


def drop() -> None:
    run("DROP VIEW IF EXISTS source_test.wrong")
    run("DROP TABLE IF EXISTS source_test.letter")
    run("DROP SCHEMA IF EXISTS source_test")


def run(statement: str, *values: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)


def insert(*rows: tuple[Any, ...], columns: str = "number, name, body") -> None:
    for row in rows:
        marks = ", ".join(["%s"] * len(row))
        run(f"INSERT INTO source_test.letter ({columns}) VALUES ({marks})", *row)


def source_of(tmp_path: Path, keys: str = KEYS, **environment: str) -> Any:
    file = tmp_path / "sources.toml"
    file.write_text(f'[[source]]\nname = "letters"\nkind = "sql"\nentity_type = "letter"\n{keys}', "utf-8")
    return SourceRegistry.load(
        file, environment=environment, lake_url="", read_database_url=settings.READ_DATABASE_URL
    ).get("letters")


def texts(found: Any) -> dict[str, list[str | None]]:
    return {
        one.subject.entity_id: [item.text for item in one.items] for one in found if isinstance(one, SubjectEvidence)
    }


def reasons(found: Any) -> list[str]:
    return [one.reason for one in found if isinstance(one, Unreadable)]


def test_each_row_is_a_subject_with_its_text(tmp_path: Path) -> None:
    insert((2, "b", "second"), (1, "a", "first"), (3, "ünï 'quoted'", "third"))
    source = source_of(tmp_path)
    subjects = list(source.subjects())
    assert sorted(one.entity_id for one in subjects) == ["a", "b", "ünï 'quoted'"]
    assert all(one.change_token is None for one in subjects)
    expected = {"a": ["first"], "b": ["second"], "ünï 'quoted'": ["third"]}
    assert texts(source.read_all()) == texts(source.with_evidence(subjects)) == expected
    assert source.evidence(subjects[0])[0].evidence_id == "body"


def test_evidence_comes_in_the_order_that_was_asked_for_across_chunks(tmp_path: Path) -> None:
    insert(*((number, f"n{number:03}", f"text {number}") for number in range(250)))
    source = source_of(tmp_path)
    subjects = list(reversed(list(source.subjects())))
    assert [one.subject for one in source.with_evidence(iter(subjects))] == subjects


def test_an_entity_may_be_a_number(tmp_path: Path) -> None:
    insert((10, "a", "ten"), (9, "b", "nine"))
    source = source_of(tmp_path, KEYS.replace('"name"', '"number"'))
    subjects = list(source.subjects())
    assert [one.entity_id for one in subjects] == ["9", "10"]
    assert texts(source.with_evidence(subjects)) == {"9": ["nine"], "10": ["ten"]}


def test_several_columns_are_items_of_the_evidence_and_empty_ones_are_left_out(tmp_path: Path) -> None:
    insert((1, "a", "body", "note"), (2, "b", None, " "), (3, "c", " ", "note"), columns="number, name, body, note")
    found = list(source_of(tmp_path, KEYS.replace('"body"', '["body", "note"]')).read_all())
    assert texts(found) == {"a": ["body", "note"], "c": ["note"]}
    assert reasons(found) == ["it has no text: body and note is empty"]


def test_a_change_token_is_the_columns_value_and_the_address_that_of_the_original(tmp_path: Path) -> None:
    insert((1, "a", "x", "https://user:canary@crm.example/a"), columns="number, name, body, link")
    insert((2, "b", "x", "has\nline breaks"), columns="number, name, body, link")
    run("UPDATE source_test.letter SET changed = '2026-01-02T03:04:05.123456'")
    source = source_of(tmp_path, KEYS + 'change_token = "changed"\nuri = "link"\n')
    one, two = source.subjects()
    assert "03:04:05.123456" in one.change_token
    assert one.change_token == two.change_token
    assert one.address == "https://crm.example/a"
    assert two.address == "sql:source_test.letter/b"
    assert source.evidence(one)[0].source_uri == one.address
    run("UPDATE source_test.letter SET changed = '2026-01-02T03:04:05.123457' WHERE number = 1")
    assert next(source.subjects()).change_token != one.change_token


def test_what_cannot_be_read_is_listed_and_the_rest_goes_on(tmp_path: Path) -> None:
    insert(
        (1, "good", "text"),
        (2, "twice", "one"),
        (3, "twice", "two"),
        (4, "Twice", "text of another"),
        (5, None, "text"),
        (6, None, "text"),
        (7, "empty", None),
        (8, "long", "x" * (LONG + 1)),
        (9, "whole", "x" * LONG),
        (10, "n" * 401, "text"),
        (11, " blank", "text"),
        (12, "line\nbreak", "text"),
    )
    found = list(source_of(tmp_path).read_all())
    assert sorted(texts(found)) == ["Twice", "good", "whole"]
    assert sorted(reasons(found)) == sorted(
        [
            "2 rows have this entity, and none of them is read: let the view have one row for each",
            "2 rows have no name (NULL)",
            "it has no text: body is empty",
            "body is longer than 1,000,000 characters: split it",
            "its entity is longer than 400 characters",
            "its entity has blanks at an end",
            "its entity holds a line break, a control character or another that cannot be printed",
        ]
    )


def test_a_subject_that_is_gone_or_doubled_meanwhile_is_listed(tmp_path: Path) -> None:
    insert((1, "a", "x"), (2, "b", "x"), (3, "c", "x"))
    source = source_of(tmp_path)
    subjects = list(source.subjects())
    run("DELETE FROM source_test.letter WHERE name = 'a'")
    insert((4, "b", "y"))
    gone, twice, good = source.with_evidence(subjects)
    assert (gone.subject, gone.reason) == (subjects[0], "it is no longer in the view")
    assert twice.reason.startswith("2 rows have this entity")
    assert isinstance(good, SubjectEvidence)
    with pytest.raises(SourceError, match="no longer in the view"):
        source.evidence(subjects[0])


@pytest.mark.parametrize(
    ("statement", "keys", "said"),
    [
        ("DROP TABLE source_test.letter", KEYS, "there is no view or table source_test.letter"),
        ("ALTER TABLE source_test.letter DROP COLUMN body", KEYS, "has no column body: its columns are number, name,"),
        ("", KEYS.replace("letter", "Letter; DROP"), "view: write schema.view"),
    ],
)
def test_a_view_that_has_vanished_or_lost_a_column_is_said(
    tmp_path: Path, statement: str, keys: str, said: str
) -> None:
    if statement:
        run(statement)
    with pytest.raises(Exception, match=said):
        list(source_of(tmp_path, keys).subjects())


def test_a_name_with_blanks_and_capitals_is_quoted(tmp_path: Path) -> None:
    quoted = '"Whole Text $1"' if engine_of(connection) is Engine.POSTGRESQL else "[Whole Text $1]"
    run(f"ALTER TABLE source_test.letter ADD {quoted} {TYPES[engine_of(connection)]['text']}")
    insert((1, "a", "x"))
    run(f"UPDATE source_test.letter SET {quoted} = 'found'")
    assert texts(source_of(tmp_path, KEYS.replace('"body"', '"Whole Text $1"')).read_all()) == {"a": ["found"]}


def test_a_stream_goes_on_while_its_reader_writes_and_its_connection_is_closed_when_it_is_left(tmp_path: Path) -> None:
    insert(*((number, f"n{number:03}", "x") for number in range(300)))
    stream = source_of(tmp_path).subjects()
    next(stream)
    insert((999, "z", "x"))
    for _ in range(200):
        next(stream)
    stream.close()
    drop()  # would wait for an open reader


def test_a_view_that_another_holds_is_given_up_after_the_time_limit(tmp_path: Path) -> None:
    insert((1, "a", "x"))
    held = "LOCK TABLE source_test.letter IN ACCESS EXCLUSIVE MODE"
    if engine_of(connection) is Engine.SQLSERVER:
        held = "SELECT 1 FROM source_test.letter WITH (TABLOCKX, HOLDLOCK)"
    with a_session() as other:
        other.run(held)
        with pytest.raises(SourceError, match=r"source_test\.letter: the "):
            list(source_of(tmp_path, KEYS + "timeout_seconds = 1\n").subjects())


def test_the_text_of_a_database_error_is_never_repeated(tmp_path: Path) -> None:
    insert((1, "a", "canary"))
    run("CREATE VIEW source_test.wrong AS SELECT name, CAST(body AS int) AS body FROM source_test.letter")
    with pytest.raises(SourceError) as caught:
        list(source_of(tmp_path, KEYS.replace("letter", "wrong")).read_all())
    assert "the database refused" in str(caught.value)
    assert "canary" not in str(caught.value)


def test_a_server_that_is_not_there_is_said_without_its_password(tmp_path: Path) -> None:
    source = source_of(
        tmp_path, KEYS + 'database_env = "CRM_URL"\n', CRM_URL="postgresql://u:canary@127.0.0.1:9/d?connect_timeout=2"
    )
    with pytest.raises(SourceError, match="the database does not answer") as caught:
        list(source.subjects())
    assert "canary" not in str(caught.value)


def test_nothing_is_written_whatever_a_view_does(tmp_path: Path) -> None:
    if engine_of(connection) is Engine.SQLSERVER:
        pytest.skip("SQL Server's functions cannot write")
    insert((1, "a", "x"))
    run(
        "CREATE FUNCTION source_test.eat() RETURNS text LANGUAGE plpgsql AS "
        "$$ BEGIN DELETE FROM source_test.letter; RETURN 'x'; END $$"
    )
    run("CREATE VIEW source_test.eater AS SELECT 'a' AS name, source_test.eat() AS body")
    try:
        with pytest.raises(SourceError, match="it writes when it is read"):
            list(source_of(tmp_path, KEYS.replace("letter", "eater")).read_all())
        assert isinstance(next(source_of(tmp_path).subjects()), SourceSubject)
    finally:
        run("DROP VIEW source_test.eater")
        run("DROP FUNCTION source_test.eat()")


def test_rows_of_another_database_are_read_by_its_url(tmp_path: Path) -> None:
    if engine_of(connection) is Engine.SQLSERVER:
        pytest.skip("the test's own login is not known as a URL")
    insert((1, "a", "first"))
    info = connection.connection.info
    place = urlencode({"host": info.host, "port": info.port, "password": info.password})
    url = f"postgresql://{quote(info.user)}@/{quote(info.dbname)}?{place}"
    source = source_of(tmp_path, KEYS + 'database_env = "CRM_URL"\n', CRM_URL=url)
    assert texts(source.read_all()) == texts(source.with_evidence(source.subjects())) == {"a": ["first"]}
