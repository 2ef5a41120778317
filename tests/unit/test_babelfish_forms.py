"""No T-SQL script holds a form that Babelfish refuses where SQL Server runs another one just as well."""

import re

import pytest

from derive.sql.scripts import PROCEDURES, TABLES, Script, read_scripts
from derive.sql.tables import Engine
from tests.contract import babelfish

PROCEDURE_SCRIPTS = read_scripts(Engine.SQLSERVER, PROCEDURES)
TABLE_SCRIPTS = read_scripts(Engine.SQLSERVER, TABLES)

REFUSED = {
    "MERGE": r"\bMERGE\b(?! JOIN)",
    "WAITFOR": r"\bWAITFOR\b",
    "TOP WITH TIES": r"\bWITH\s+TIES\b",
    "a synonym": r"\bSYNONYM\b",
    "IS DISTINCT FROM": r"\bIS\s+(NOT\s+)?DISTINCT\s+FROM\b",
    "GENERATE_SERIES": r"\bGENERATE_SERIES\s*\(",
    "JSON_OBJECT": r"\bJSON_OBJECT\s*\(",
    "ISJSON with a kind": r"\bISJSON\s*\([^()]*,",
    "CREATE OR ALTER of a view or trigger": r"\bCREATE\s+OR\s+ALTER\s+(VIEW|TRIGGER)\b",
    "UPDATE that sets a variable": r"\bUPDATE\s+[\w.]+(\s+WITH\s*\([^)]*\))?\s+SET\s+@",
    "UPDATE or DELETE through a CTE": r"\bAS\s*\([^;]*\)\s*(UPDATE|DELETE)\b",
    "datetimeoffset with a precision": r"\bdatetimeoffset\s*\(",
}
"""What it refuses, or, for the last one, answers with NULL, by a pattern that finds it in one statement."""


def statements(script: Script) -> list[str]:
    """Return a script's statements without comments; a statement that text is made of counts as its own."""
    return re.sub(r"--.*", "", script.text).split(";")


def test_no_script_holds_a_form_that_babelfish_refuses() -> None:
    found = {
        (script.name, name)
        for script in (*PROCEDURE_SCRIPTS, *TABLE_SCRIPTS)
        for statement in statements(script)
        for name, pattern in REFUSED.items()
        if re.search(pattern, statement, re.IGNORECASE)
    }
    assert found == set()


def outputs_into(statement: str) -> re.Match[str] | None:
    return re.search(r"\bOUTPUT\b(?P<columns>[^;]*?\b(inserted|deleted)\.[^;]*?)\bINTO\s+@", statement)


@pytest.mark.parametrize("script", PROCEDURE_SCRIPTS, ids=lambda script: script.name)
def test_what_a_changing_statement_hands_on_is_columns_and_its_tables_are_joined_by_commas(script: Script) -> None:
    """``UPDATE … OUTPUT … INTO … FROM @t INNER JOIN`` fails there, and so does an expression of ``inserted.``."""
    for statement in statements(script):
        if found := outputs_into(statement):
            assert re.fullmatch(r"(\s*(inserted|deleted)\.\w+\s*,?)+", found["columns"]), statement
            assert not re.search(r"\bJOIN\b(?!, FORCE ORDER)", statement[found.end() :]), statement


def test_the_statements_that_hand_rows_on_are_found() -> None:
    names = {script.name for script in PROCEDURE_SCRIPTS for one in statements(script) if outputs_into(one)}
    assert len(names) == 15
    assert "procedures/usp_claim_next_job.sql" in names


def test_a_join_by_comma_is_still_driven_by_the_few_rows() -> None:
    for script in PROCEDURE_SCRIPTS:
        for statement in statements(script):
            if re.search(r"\bFROM @\w+ AS \w+, llm\.", statement):
                assert "OPTION (LOOP JOIN, FORCE ORDER)" in statement, script.name


def test_no_cast_of_a_view_can_fail() -> None:
    """A cast may run before the WHERE that leaves its row out; a view's last definition counts."""
    views: dict[str, str] = {}
    for script in TABLE_SCRIPTS:
        for name, body in re.findall(r"CREATE VIEW llm\.(\w+)(.*?)^GO$", script.text, re.DOTALL | re.MULTILINE):
            views[name] = re.sub(r"--.*", "", body)
    assert {"v_job_status", "v_run_metrics", "v_entity_fact", "v_admitted_fact"} <= views.keys()
    failing = [name for name, body in views.items() if re.search(r"\b(CAST|CONVERT)\s*\(", body)]
    assert failing == []


def test_tests_of_what_babelfish_lacks_are_skipped_only_there_with_a_reason(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.node.add_marker(babelfish.lacks(babelfish.Lack.LONG_JSON_STRINGS))
    monkeypatch.setattr(babelfish, "is_babelfish", lambda: False)
    babelfish.skip_on_babelfish(request.node)
    monkeypatch.setattr(babelfish, "is_babelfish", lambda: True)
    with pytest.raises(pytest.skip.Exception, match="4,000 characters"):
        babelfish.skip_on_babelfish(request.node)
