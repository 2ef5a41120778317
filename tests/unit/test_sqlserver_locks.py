"""Which locks the T-SQL takes, and when: read from the scripts, since no SQL Server is there to show it."""

import os
import re
import tomllib
from pathlib import Path

import pytest

from derive.sql.scripts import PROCEDURES, TABLES, read_scripts
from derive.sql.tables import Engine


def script(name: str, kind: str = PROCEDURES) -> str:
    (found,) = [one.text for one in read_scripts(Engine.SQLSERVER, kind) if one.name.endswith(f"{name}.sql")]
    return re.sub(r"--.*", "", found)


REVIEWED = Path(__file__).with_name("sqlserver_access.toml")
HEADER = """\
# How each procedure's T-SQL bounds, orders and locks what it reads: a line a statement, as it was reviewed.
# A change here is a change of locking, which no test can run: judge it, then write this file anew by
#   WRITE_ACCESS=1 python -m pytest -n0 tests/unit/test_sqlserver_locks.py
"""
_PROCEDURE = re.compile(r"\b(?:EXEC|PROCEDURE|ON) llm\.\w+")
_DECIDES_ACCESS = re.compile(
    r"""sp_getapplock [^;]*
    | \bTOP\ \([^)]*\)
    | llm\.\w+\b(?!\()(?:\ AS\ \w+)?(?:\ WITH\ \((?:[^()]|\([^()]*\))*\))?
    | \bORDER\ BY\ (?:[^();]|\((?:[^()]|\([^()]*\))*\))+? (?=\ OPTION|\)|;|$)
    | \bOPTION\ \((?:[^()]|\([^()]*\))*\)""",
    re.VERBOSE,
)


def access_of(name: str) -> list[str]:
    """Return what decides a procedure's locks, a line for each statement that reads or writes a table, in order."""
    statements = (" ".join(part.split()) for part in script(name).split("AS\nBEGIN", 1)[-1].split(";"))
    lines = (" · ".join(map(str.strip, _DECIDES_ACCESS.findall(_PROCEDURE.sub("", one)))) for one in statements)
    return [line for line in lines if line]


def test_every_statement_is_bounded_ordered_and_locked_as_reviewed() -> None:
    names = [
        one.name.removeprefix("procedures/").removesuffix(".sql") for one in read_scripts(Engine.SQLSERVER, PROCEDURES)
    ]
    actual = {name: access_of(name) for name in names}
    if os.environ.get("WRITE_ACCESS"):
        parts = (
            f"\n{name} = [\n" + "".join(f'    "{line}",\n' for line in lines) + "]\n" for name, lines in actual.items()
        )
        REVIEWED.write_text(HEADER + "".join(parts), "utf-8")
    assert actual == tomllib.loads(REVIEWED.read_text("utf-8")), f"locking has changed: {REVIEWED.name} says what to do"


def test_a_worker_stops_the_writers_only_when_it_counts_and_there_is_something_to_count() -> None:
    text = script("usp_roll_up_hours")
    places = [text.index(part) for part in ("sp_getapplock", "WITH (NOLOCK)", "WITH (TABLOCK, READCOMMITTEDLOCK)")]
    assert places == sorted(places)
    assert text.count("TABLOCK") == 1, "the lock is let go with its statement"


def test_the_holder_of_a_dedupe_key_is_judged_in_the_index() -> None:
    assert "INCLUDE (job_id, status)" in script("0023_dedupe_status", TABLES)


@pytest.mark.parametrize("name", ["usp_enqueue_job", "usp_enqueue_jobs"])
def test_no_gap_of_new_ids_is_held(name: str) -> None:
    hints = re.findall(r"WITH \(([^)]*\([^)]*\)[^)]*)\)", script(name))
    assert [one for one in hints if "HOLDLOCK" in one and "pk_job" in one] == []
    assert [one for one in hints if "HOLDLOCK" in one and "ux_job_dedupe" in one]


def test_every_join_of_a_purge_is_driven_by_the_few_rows() -> None:
    """Each statement that joins says so, but for the answer, which reads table variables alone."""
    statements = [part for part in script("usp_purge_jobs").split(";") if "llm." in part and "JOIN" in part]
    assert len(statements) >= 9
    assert [one for one in statements if "OPTION (LOOP JOIN, FORCE ORDER)" not in one] == []


def test_statements_with_readpast_also_have_readcommittedlock() -> None:
    """Where READ_COMMITTED_SNAPSHOT is on, READPAST means something only to a statement that locks what it reads."""
    passing = [
        (one.name, hints)
        for one in read_scripts(Engine.SQLSERVER, PROCEDURES)
        for hints in re.findall(r"WITH \(((?:[^()]|\([^()]*\))*)\)", re.sub(r"--.*", "", one.text))
        if "READPAST" in hints
    ]
    assert len(passing) >= 12
    assert [one for one in passing if not {"UPDLOCK", "READCOMMITTEDLOCK"} & set(one[1].split(", "))] == []
