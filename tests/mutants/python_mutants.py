"""Faults a programmer makes in Python: another comparison, a call left out, a number one higher, a bound the other way.

Log calls, annotations, docstrings and the texts of messages are left alone: tests are not meant to hold those.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate

from tests.mutants.mutation import Mutant

_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
_ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.LShift: ">>",
    ast.BitOr: "&",
    ast.BitAnd: "|",
    ast.Pow: "*",
}
_SWAPPED_CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
_UNTESTED_ROOTS = {"log", "logging"}


def python_mutants(path: str, source: str) -> Iterator[Mutant]:
    """Yield every mutant of one module, in the order of its lines."""
    seen: Counter[tuple[str, str]] = Counter()
    for node, within in _walk(ast.parse(source), "module"):
        for target, replacement in _changes(node):
            text, change = _replace(source, target, replacement)
            seen[within, change] += 1
            # What a function holds more than once is told apart by its number.
            times = seen[within, change]
            numbered = change if times == 1 else f"{change} (#{times})"
            yield Mutant(path, target.lineno, within, numbered, text)


def _walk(node: ast.AST, within: str) -> Iterator[tuple[ast.AST, str]]:
    """Yield what may be changed, with the name of the function it stands in."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name = child.name if within == "module" else f"{within}.{child.name}"
            for part in child.body:
                yield from _walk_statement(part, name)
            if not isinstance(child, ast.ClassDef):
                for default in [*child.args.defaults, *filter(None, child.args.kw_defaults)]:
                    yield from _walk_statement(default, name)
        else:
            yield from _walk_statement(child, within)


def _walk_statement(node: ast.AST, within: str) -> Iterator[tuple[ast.AST, str]]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield from _walk(ast.Module(body=[node], type_ignores=[]), within)
        return
    if isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr | ast.Assert) or _is_untested(node):
        return
    yield node, within
    if isinstance(node, ast.AnnAssign):
        if node.value is not None:
            yield from _walk_statement(node.value, within)
        return
    if isinstance(node, ast.Raise):
        return
    yield from _walk(node, within)


def _is_untested(node: ast.AST) -> bool:
    if not isinstance(node, ast.Expr):
        return False
    if isinstance(node.value, ast.Constant):
        return True
    called = node.value.func if isinstance(node.value, ast.Call) else None
    while isinstance(called, ast.Attribute):
        called = called.value
    return isinstance(called, ast.Name) and called.id in _UNTESTED_ROOTS


def _changes(node: ast.AST) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    """Yield the parts of a node to replace, each with what stands there instead."""
    yield from _changed_expression(node) if isinstance(node, ast.expr) else _changed_statement(node)
    if isinstance(node, ast.If | ast.While | ast.IfExp) and not _is_decided(node.test):
        yield node.test, f"(not ({ast.unparse(node.test)}))"


def _changed_expression(node: ast.expr) -> Iterator[tuple[ast.expr, str]]:
    match node:
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARISONS:
            yield node, f"{ast.unparse(left)} {_COMPARISONS[type(op)]} {ast.unparse(right)}"
        case ast.BoolOp(op=op, values=values):
            word = " or " if isinstance(op, ast.And) else " and "
            yield node, f"({word.join(f'({ast.unparse(value)})' for value in values)})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield node, f"({ast.unparse(operand)})"
        case ast.BinOp(left=left, op=arithmetic, right=right) if not _is_text(left, right):
            if type(arithmetic) in _ARITHMETIC:
                yield node, f"(({ast.unparse(left)}) {_ARITHMETIC[type(arithmetic)]} ({ast.unparse(right)}))"
        case ast.Constant(value=bool() as value):
            yield node, str(not value)
        case ast.Constant(value=int() | float() as number):
            yield node, str(number + 1)
        case ast.Call(func=ast.Name(id=name) as function) if name in _SWAPPED_CALLS:
            yield function, _SWAPPED_CALLS[name]


def _changed_statement(node: ast.AST) -> Iterator[tuple[ast.stmt, str]]:
    match node:
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Assign(targets=[ast.Attribute()]):
            yield node, "pass"
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield node, "return None"


def _is_decided(test: ast.AST) -> bool:
    """Whether another change already turns this condition round."""
    negated = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
    return negated or isinstance(test, ast.Compare | ast.BoolOp | ast.Constant)


def _is_text(*nodes: ast.AST) -> bool:
    return any(
        isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))
        for node in nodes
    )


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _replace(source: str, node: ast.expr | ast.stmt, replacement: str) -> tuple[str, str]:
    """Return the source with the node replaced, and the change in words."""
    assert node.end_lineno is not None
    assert node.end_col_offset is not None
    encoded = source.encode()
    # Columns are counted in bytes.
    begins = [0, *accumulate(len(line) for line in encoded.splitlines(keepends=True))]
    start, end = begins[node.lineno - 1] + node.col_offset, begins[node.end_lineno - 1] + node.end_col_offset
    before = " ".join(encoded[start:end].decode().split())
    text = (encoded[:start] + replacement.encode() + encoded[end:]).decode()
    return text, f"{before[:120]} → {replacement[:120]}"
