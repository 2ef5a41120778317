"""The two engines' scripts are twins; held without a SQL Server, by parsing what would be run there."""

import os
import re
import subprocess
from collections.abc import Iterable

import pytest
from annotated_types import MaxLen
from django.db import connection

from derive.contracts import JobInput
from derive.sql import procedures as known_procedures
from derive.sql.calls import render_call
from derive.sql.scripts import PROCEDURES, SCRIPTS_FOLDER, TABLES, Script, read_scripts, split_batches
from derive.sql.tables import Engine
from derive.states import (
    EndpointState,
    JobEventName,
    JobStatus,
    ReviewStatus,
    RunStatus,
    StaleBecause,
    SubjectState,
    Verdict,
)
from tests.unit.sql_parity import postgresql, tsql
from tests.unit.sql_parity.shapes import Catalogue

CALLED = {
    value.name: value for value in vars(known_procedures).values() if isinstance(value, known_procedures.Procedure)
}
# The scripts for SQL Server are parsed, all of them.
pytestmark = pytest.mark.slow

TABLE_NAMES = tsql.table_names()
PROCEDURE_NAMES = tsql.procedure_names()
STATES = {
    ("job", "ck_job_status"): JobStatus,
    ("run", "ck_run_status"): RunStatus,
    ("job_event", "ck_job_event_from_status"): JobStatus,
    ("job_event", "ck_job_event_to_status"): JobStatus,
    ("job_event", "ck_job_event_event"): JobEventName,
    ("endpoint", "ck_endpoint_state"): EndpointState,
    ("fact", "ck_fact_verdict"): Verdict,
    ("fact", "ck_fact_review_status"): ReviewStatus,
    ("subject", "ck_subject_state"): SubjectState,
    ("subject", "ck_subject_stale_because"): StaleBecause,
}


@pytest.fixture
def live(db: None) -> Catalogue:
    """The catalogue of the migrated test database."""
    if connection.vendor != "postgresql":
        pytest.skip("the twins are compared by PostgreSQL's live catalogue; DATABASE_URL names another engine")
    return postgresql.read_catalogue()


@pytest.fixture
def parsed() -> Catalogue:
    """The catalogue that the scripts for SQL Server declare."""
    return tsql.read_catalogue()


@pytest.mark.parametrize("kind", [TABLES, PROCEDURES])
def test_every_script_has_its_twin(kind: str) -> None:
    names = [[script.name for script in read_scripts(engine, kind)] for engine in Engine]
    assert names[0] == names[1]
    assert names[0]


def test_both_engines_have_the_same_tables_and_procedures(live: Catalogue, parsed: Catalogue) -> None:
    assert sorted(parsed.tables) == sorted(live.tables)
    assert sorted(parsed.procedures) == sorted(live.procedures)


@pytest.mark.parametrize("table", TABLE_NAMES)
def test_a_table_has_the_same_columns_in_the_same_order(live: Catalogue, parsed: Catalogue, table: str) -> None:
    assert parsed.tables[table].columns == live.tables[table].columns


def test_a_jobs_texts_are_as_long_in_python_as_in_their_columns(parsed: Catalogue) -> None:
    """Shorter in Python, rows that plain SQL wrote could not be queued again; longer, the database would refuse."""
    columns = {column.name: column.type for column in parsed.tables["job"].columns}
    limits = {
        name: limit.max_length
        for name, field in JobInput.model_fields.items()
        for limit in field.metadata
        if isinstance(limit, MaxLen)
    }
    assert limits
    for name, limit in limits.items():
        assert f"({limit})" in columns[name], f"{name}: {limit} characters in Python, {columns[name]} in SQL"


def test_the_views_have_the_same_columns_in_the_same_order(live: Catalogue) -> None:
    assert tsql.view_columns() == postgresql.view_columns()
    assert {"v_job_status", "v_run_metrics", "v_entity_fact", "v_admitted_fact"} <= tsql.view_columns().keys()


@pytest.mark.parametrize("table", TABLE_NAMES)
def test_a_table_has_the_same_checks(live: Catalogue, parsed: Catalogue, table: str) -> None:
    assert parsed.tables[table].checks.keys() == live.tables[table].checks.keys()
    for name, check in parsed.tables[table].checks.items():
        twin = live.tables[table].checks[name]
        assert (check.columns, check.comparison) == (twin.columns, twin.comparison), name


@pytest.mark.parametrize("table", TABLE_NAMES)
def test_a_table_has_the_same_indexes_with_order_and_filter(live: Catalogue, parsed: Catalogue, table: str) -> None:
    assert parsed.tables[table].indexes == live.tables[table].indexes


@pytest.mark.parametrize("table", TABLE_NAMES)
def test_a_table_has_the_same_foreign_keys_and_readers(live: Catalogue, parsed: Catalogue, table: str) -> None:
    assert parsed.tables[table].foreign_keys == live.tables[table].foreign_keys
    assert parsed.tables[table].granted == live.tables[table].granted


@pytest.mark.parametrize(("table", "check"), STATES)
def test_the_states_in_the_checks_are_those_of_states_py(
    live: Catalogue, parsed: Catalogue, table: str, check: str
) -> None:
    wanted = set(map(str, STATES[table, check]))
    assert parsed.tables[table].checks[check].words == wanted
    assert live.tables[table].checks[check].words == wanted


@pytest.mark.parametrize("name", PROCEDURE_NAMES)
def test_a_procedure_has_the_same_parameters_and_result_columns(live: Catalogue, parsed: Catalogue, name: str) -> None:
    assert parsed.procedures[name].parameters == live.procedures[name].parameters
    assert parsed.procedures[name].result_columns == live.procedures[name].result_columns


@pytest.mark.parametrize("name", PROCEDURE_NAMES)
def test_a_procedure_raises_the_same_errors(live: Catalogue, parsed: Catalogue, name: str) -> None:
    assert _known_errors(parsed, name) == _known_errors(live, name)


@pytest.mark.parametrize("name", PROCEDURE_NAMES)
def test_a_procedure_writes_the_same_events_and_kinds(live: Catalogue, parsed: Catalogue, name: str) -> None:
    assert parsed.procedures[name].told_words == live.procedures[name].told_words


@pytest.mark.parametrize("name", PROCEDURE_NAMES)
def test_a_procedure_is_granted_to_the_same_roles(live: Catalogue, parsed: Catalogue, name: str) -> None:
    assert parsed.procedures[name].granted == live.procedures[name].granted
    assert parsed.procedures[name].granted, "nobody may call it"


@pytest.mark.parametrize("name", PROCEDURE_NAMES)
def test_the_queues_calls_fit_the_procedures(parsed: Catalogue, name: str) -> None:
    called, declared = CALLED[name], parsed.procedures[name]
    assert called.parameters == tuple(parameter.name for parameter in declared.parameters)
    assert called.columns == declared.result_columns

    tree = tsql.parse(render_call(Engine.SQLSERVER, called, called.parameters).replace("%s", "NULL"))
    executed = next(tree.recursive_crawl("execute_script_statement"))
    assert executed.get_child("object_reference").raw == f"llm.{name}"
    assert [part.raw for part in executed.get_children("parameter")] == [f"@{one}" for one in called.parameters]


def test_the_queue_calls_every_procedure() -> None:
    assert sorted(CALLED) == PROCEDURE_NAMES


def test_every_errors_text_contains_its_number() -> None:
    """The driver hands on the text alone; where that is a variable, it is made in the same procedure."""
    for script in read_scripts(Engine.SQLSERVER, PROCEDURES):
        for number, text in re.findall(r"THROW 51(\d{3}), (N'[^']*'|@message), 1", script.text):
            wanted = f"N'HC{number}: "
            assert text.startswith(wanted) or (text == "@message" and wanted in script.text), f"{script.name}: {text}"


def test_no_batch_is_one_that_only_sqlcmd_understands() -> None:
    """Braces outside of texts are ODBC's escapes, ``:r`` and ``$(…)`` are sqlcmd's."""
    for script in _scripts():
        for batch in split_batches(Engine.SQLSERVER, script.text):
            without_comments = re.sub(r"--.*", "", batch)
            outside = "".join(without_comments.split("'")[::2])
            assert not any(mark in outside for mark in ("{", "}", "$(", "\n:")), script.name


@pytest.mark.skipif("TSQL_CHECK" not in os.environ, reason="TSQL_CHECK names no checker of T-SQL")
def test_a_parser_of_the_vendors_takes_every_script() -> None:
    paths = sorted((SCRIPTS_FOLDER / Engine.SQLSERVER).rglob("*.sql"))
    checked = subprocess.run([os.environ["TSQL_CHECK"], *map(str, paths)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def _scripts() -> Iterable[Script]:
    return (*read_scripts(Engine.SQLSERVER, TABLES), *read_scripts(Engine.SQLSERVER, PROCEDURES))


def _known_errors(catalogue: Catalogue, name: str) -> frozenset[int]:
    # One job is queued on PostgreSQL through the procedure for many, whose error about its array cannot come up then.
    unreachable = {10} if name == "usp_enqueue_job" else set()
    return catalogue.procedures[name].error_numbers - unreachable
