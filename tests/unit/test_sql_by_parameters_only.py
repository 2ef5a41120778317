"""Values reach the database as parameters alone: what reads the sources for anything else.

The linter (S608) refuses SQL put together from parts; where a part is one of our own names, the line says so. These
tests hold that no such line goes without its reason, also where the linter does not see SQL, that Django's ways of raw
SQL are not used at all, and that no procedure makes SQL out of what it is given.
"""

import ast
import re
from pathlib import Path

import pytest

import derive
import holocron
from derive.sql.scripts import SCRIPTS_FOLDER
from holocron.settings import BASE_DIR

SOURCES = sorted(path for package in (derive, holocron) for path in Path(str(package.__file__)).parent.rglob("*.py"))
RAW_SQL = {"RawSQL", "raw", "extra"}
SENT = {"execute", "executemany", "execute_batch", "callproc"}
EXCUSED = re.compile(r"# noqa: S608 +\(\w[^)]*\)")


MADE_OF_NAMES = {
    "derive/sql/calls.py": "a procedure of our own list, its parameters as marks",
    "derive/admin/lists/keyset.py": "conditions of our own making, joined; their values go beside them",
    "derive/sources/sql_statements.py": "checked and quoted names of a view and its columns",
    "derive/deliveries/sqlserver.py": "checked and quoted names of a target and its columns; a number of ours",
    "holocron/embedded_postgres/keeper.py": "the embedded database's one name",
    "derive/demo/stand_in_model.py": "a Modelfile's text",
}
"""Texts of parts that look like SQL and need no linter's leave, and why."""
LOOKS_LIKE_SQL = re.compile(
    r"^\s*(SELECT|INSERT|UPDATE|DELETE|EXEC|EXECUTE|WITH|DROP|CREATE|ALTER|GRANT|REVOKE|CALL|TRUNCATE|MERGE|DECLARE|SET)\s"
    r"|\s(FROM|WHERE|JOIN|ORDER BY|GROUP BY|VALUES)\s"
)
SCRIPTS = sorted(SCRIPTS_FOLDER.rglob("*.sql"))
DYNAMIC = re.compile(
    r"(?<!GRANT )(?<!OR )\bEXECUTE\s+(?!ON\b|PROCEDURE\b)|\bsp_executesql\b|\bEXEC(UTE)?\s*\(", re.IGNORECASE
)
CONSTANT = re.compile(
    r"EXEC\s*\(N'([^']|'')*'\)|EXECUTE\s+(pg_catalog\.)?format\(\s*'[^%']*(%I[^%']*)*'", re.IGNORECASE
)
"""One literal, or one with names that are quoted."""


def parts_of(node: ast.AST) -> str | None:
    """Return the constant parts of a text that is made of parts, None for any other expression."""
    if isinstance(node, ast.JoinedStr):
        constant = [str(one.value) if isinstance(one, ast.Constant) else " _ " for one in node.values]
        return "".join(constant) if " _ " in constant else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        found = node
    elif isinstance(node, ast.Call) and is_put_together(node) and not is_composed(node):
        found = node.func  # type: ignore[assignment]
    else:
        return None
    texts = [one.value for one in ast.walk(found) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return " ".join(texts)


def is_composed(call: ast.Call) -> bool:
    """Whether it is psycopg's ``sql.SQL(…).format(…)``, which quotes what it is given."""
    of = getattr(call.func, "value", None)
    return isinstance(of, ast.Call) and getattr(of.func, "attr", "") == "SQL"


def calls_in(path: Path) -> list[tuple[str, ast.Call]]:
    calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
    named = [(getattr(call.func, "attr", getattr(call.func, "id", "")), call) for call in calls]
    return [(name, call) for name, call in named if name]


def is_put_together(text: ast.expr) -> bool:
    """Whether an expression makes a text of parts: an f-string, ``+``, ``%`` or ``.format``."""
    if isinstance(text, ast.Call):
        return getattr(text.func, "attr", "") in {"format", "join", "replace"}
    return isinstance(text, ast.JoinedStr | ast.BinOp)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_sql_is_never_put_together_from_values(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert [line for line in lines if "S608" in line and not EXCUSED.search(line)] == []
    for name, call in calls_in(path):
        assert name not in RAW_SQL, f"line {call.lineno}: {name} takes SQL past Django's own"
        if name in SENT and call.args and is_put_together(call.args[0]):
            assert "S608" in "".join(lines[call.lineno - 1 : call.end_lineno]), f"line {call.lineno}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_composed_sql_has_a_reason_beside_it(path: Path) -> None:
    if str(path.relative_to(BASE_DIR)) in MADE_OF_NAMES:
        return
    source = path.read_text("utf-8")
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        text = parts_of(node)
        if text and LOOKS_LIKE_SQL.search(text):
            assert isinstance(node, ast.expr)
            told = "".join(lines[node.lineno - 1 : (node.end_lineno or node.lineno) + 1])
            assert "S608" in told, f"line {node.lineno}: {text[:80]}"


@pytest.mark.parametrize(
    "source",
    ['f"SELECT {x}"', '"DELETE FROM t WHERE a = " + x', '"UPDATE t SET a = %s" % x', '"SELECT {}".format(x)'],
)
def test_what_the_linter_might_miss_is_seen(source: str) -> None:
    (statement,) = ast.parse(source).body
    assert isinstance(statement, ast.Expr)
    assert LOOKS_LIKE_SQL.search(parts_of(statement.value) or "")


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parts[-3]}/{path.name}")
def test_no_script_makes_sql_out_of_values(path: Path) -> None:
    text = re.sub(r"--[^\n]*", "", path.read_text("utf-8"))
    for found in DYNAMIC.finditer(text):
        assert path.parent.name == "tables", f"a procedure: {text[found.start() :][:80]}"
        rest = text[found.start() :]
        helper = path.name in {"0003_functions.sql", "0037_model.sql"} and rest.startswith("EXECUTE 'DROP ")
        assert helper or CONSTANT.match(rest), rest[:80]
