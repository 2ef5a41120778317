"""Which locks the T-SQL takes, and when: read from the scripts, since no SQL Server is there to show it."""

import re

import pytest

from derive.sql.scripts import PROCEDURES, TABLES, read_scripts
from derive.sql.tables import Engine


def script(name: str, kind: str = PROCEDURES) -> str:
    (found,) = [one.text for one in read_scripts(Engine.SQLSERVER, kind) if one.name.endswith(f"{name}.sql")]
    return re.sub(r"--.*", "", found)


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


def test_whoever_passes_over_locked_rows_reads_by_locks() -> None:
    """Where READ_COMMITTED_SNAPSHOT is on, READPAST means something only to a statement that locks what it reads."""
    passing = [
        (one.name, hints)
        for one in read_scripts(Engine.SQLSERVER, PROCEDURES)
        for hints in re.findall(r"WITH \(((?:[^()]|\([^()]*\))*)\)", re.sub(r"--.*", "", one.text))
        if "READPAST" in hints
    ]
    assert len(passing) >= 12
    assert [one for one in passing if not {"UPDLOCK", "READCOMMITTEDLOCK"} & set(one[1].split(", "))] == []
