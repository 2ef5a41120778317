"""Values reach the database as parameters alone: what reads the sources for anything else.

The linter (S608) refuses SQL put together from parts; where a part is one of our own names, the line says so. These
tests hold that no such line goes without its reason, and that Django's ways of raw SQL are not used at all.
"""

import ast
import re
from pathlib import Path

import pytest

import derive
import holocron

SOURCES = sorted(path for package in (derive, holocron) for path in Path(str(package.__file__)).parent.rglob("*.py"))
RAW_SQL = {"RawSQL", "raw", "extra"}
SENT = {"execute", "executemany", "execute_batch", "callproc"}
EXCUSED = re.compile(r"# noqa: S608 +\(\w[^)]*\)")


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
