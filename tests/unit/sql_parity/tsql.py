"""SQL Server's catalogue as its scripts declare it, read from sqlfluff's parse tree."""

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any, TypeAlias

from sqlfluff.core import FluffConfig, Linter

from derive.sql.scripts import PROCEDURES, TABLES, read_scripts
from derive.sql.tables import Engine
from tests.unit.sql_parity.shapes import (
    REQUIRED,
    Catalogue,
    Check,
    Column,
    ForeignKey,
    Index,
    Parameter,
    Procedure,
    Table,
    comparison_of,
    condition_of,
    reachable,
    told_words,
)

Segment: TypeAlias = Any
"""sqlfluff's node; the package has no types."""

# It would print every tree that it makes, which takes as long again as parsing a small script.
logging.getLogger("sqlfluff").setLevel(logging.WARNING)

_TYPES = {
    "uniqueidentifier": "guid",
    "datetime2(6)": "utc",
    "int": "int",
    "bigint": "bigint",
    "bit": "bool",
    "decimal(5,2)": "decimal(5,2)",
    "decimal(9,2)": "decimal",  # of a parameter
}
_DEFAULTS = {"SYSUTCDATETIME()": "now", "NEWID()": "new guid", "ORIGINAL_LOGIN()": "login"}
_BY_CODE_POINT = "Latin1_General_100_BIN2"
_ERROR_NUMBER = re.compile(r"\b51(\d{3})\b")


def parse(text: str) -> Segment:
    """Return the tree of a T-SQL text; raise ValueError with every place that does not parse."""
    parsed = _linter().parse_string(text)
    if parsed.violations or parsed.tree is None:
        raise ValueError("; ".join(str(violation) for violation in parsed.violations))
    return parsed.tree


@cache
def _linter() -> Linter:
    # The default templater would look for Jinja's marks in each script first: a seventh of the time.
    return Linter(config=FluffConfig(overrides={"dialect": "tsql", "templater": "raw"}))


def table_names() -> list[str]:
    """Return the tables' names, without parsing: cheap enough for collecting tests."""
    scripts = read_scripts(Engine.SQLSERVER, TABLES)
    return sorted(name for script in scripts for name in re.findall(r"CREATE TABLE llm\.(\w+)", script.text))


def view_columns() -> dict[str, list[str]]:
    """Return each view's columns in order, as the list after its name declares them."""
    texts = "\n".join(script.text for script in read_scripts(Engine.SQLSERVER, TABLES))
    declared = re.findall(r"CREATE VIEW llm\.(\w+) \(([^)]*)\)", texts)
    return {name: re.findall(r"\w+", columns) for name, columns in declared}


def procedure_names() -> list[str]:
    """Return the procedures' names, which are their files'."""
    scripts = read_scripts(Engine.SQLSERVER, PROCEDURES)
    return [script.name.rpartition("/")[2].removesuffix(".sql") for script in scripts]


@cache
def read_catalogue() -> Catalogue:
    """Return the catalogue that ``migrations_sql/sqlserver`` declares; parsed once a process."""
    tables: dict[str, Table] = {}
    for script in read_scripts(Engine.SQLSERVER, TABLES):
        tree = parse(script.text)
        for created in tree.recursive_crawl("create_table_statement"):
            tables[_last_name(created.get_child("table_reference"))] = _table(created)
        for altered in tree.recursive_crawl("alter_table_statement"):
            altered_table = _last_name(altered.get_child("table_reference"))
            added_columns = tuple(_column(added) for added in altered.get_children("column_definition"))
            columns = tables[altered_table].columns + added_columns
            tables[altered_table] = replace(tables[altered_table], columns=columns)
            # A check that was dropped may be added anew with other words: the last one stands.
            for gone in re.findall(r"DROP CONSTRAINT IF EXISTS (\w+)", _code(altered)):
                table = tables[altered_table]
                checks = {key: check for key, check in table.checks.items() if key != gone}
                keys = {key: foreign for key, foreign in table.foreign_keys.items() if key != gone}
                tables[altered_table] = replace(table, checks=checks, foreign_keys=keys)
            for added in altered.get_children("table_constraint"):
                check = _last_name(added.get_child("object_reference"))
                checks = {**tables[altered_table].checks, check: _check(check, added)}
                tables[altered_table] = replace(tables[altered_table], checks=checks)
        # In the order of the text: an index may be dropped and made anew.
        for changed in tree.recursive_crawl("create_index_statement", "drop_index_statement"):
            name = _last_name(changed.get_child("table_reference"))
            indexes = dict(tables[name].indexes)
            if changed.is_type("drop_index_statement"):
                indexes.pop(_last_name(changed.get_child("index_reference")), None)
            else:
                index = _index(changed, tables[name])
                indexes[index.name] = index
            tables[name] = replace(tables[name], indexes=indexes)
        for right, name, role in _grants(tree):
            if name not in tables:
                continue  # a view's: held by the views' own test
            granted = dict(tables[name].granted)
            granted[role] = granted.get(role, frozenset()) | {right}
            tables[name] = replace(tables[name], granted=granted)
    return Catalogue(tables=tables, procedures=_procedures())


def _procedures() -> dict[str, Procedure]:
    bodies: dict[str, Segment] = {}
    granted: dict[str, set[str]] = {}
    for script in read_scripts(Engine.SQLSERVER, PROCEDURES):
        tree = parse(script.text)
        for created in tree.recursive_crawl("create_procedure_statement"):
            bodies[_last_name(created.get_child("object_reference"))] = created
        for right, name, role in _grants(tree):
            if right != "EXECUTE":
                raise ValueError(f"{script.name} grants {right}")
            granted.setdefault(name, set()).add(role)
    calls = {name: _calls(body) for name, body in bodies.items()}
    return {
        name: Procedure(
            parameters=tuple(_parameters(bodies[name])),
            result_columns=_result_columns(name, bodies),
            error_numbers=frozenset(
                int(number)
                for called in reachable([name], calls)
                for number in _ERROR_NUMBER.findall(_code(bodies[called]))
            ),
            told_words=told_words(text for called in reachable([name], calls) for text in _texts(bodies[called])),
            granted=frozenset(granted.get(name, set())),
        )
        for name in procedure_names()
    }


def _table(created: Segment) -> Table:
    columns: list[Column] = []
    checks: dict[str, Check] = {}
    indexes: dict[str, Index] = {}
    foreign_keys: dict[str, ForeignKey] = {}
    for declared in created.get_child("bracketed").segments:
        if declared.is_type("column_definition"):
            columns.append(_column(declared))
        elif declared.is_type("table_constraint"):
            name = _last_name(declared.get_child("object_reference"))
            words = _keywords(declared)
            if "CHECK" in words:
                checks[name] = _check(name, declared)
            elif "FOREIGN" in words:
                foreign_keys[name] = _foreign_key(name, declared)
            else:
                indexes[name] = Index(name=name, keys=_index_keys(declared), is_unique=True, condition=None)
    return Table(columns=tuple(columns), checks=checks, indexes=indexes, foreign_keys=foreign_keys)


def _column(declared: Segment) -> Column:
    constraints = [_code(part) for part in declared.get_children("column_constraint_segment")]
    text = " ".join(constraints)
    default = re.search(r"DEFAULT \((.*)\)$", text)
    type_ = _logical_type(declared.get_child("data_type"))
    return Column(
        name=declared.get_child("naked_identifier").raw,
        type=type_,
        is_nullable="NOT NULL" not in text,
        default=_default(default.group(1), type_) if default else None,
        is_identity="IDENTITY" in _code(declared),
        is_by_code_point=f"COLLATE {_BY_CODE_POINT}" in text,
    )


def _check(name: str, declared: Segment) -> Check:
    condition = next(declared.recursive_crawl("check_constraint_grammar"))
    return Check(
        name=name,
        columns=frozenset(_last_name(reference) for reference in condition.recursive_crawl("column_reference")),
        words=frozenset(text for text in _texts(condition) if re.fullmatch(r"[A-Za-z_]{2,}", text)),
        comparison=comparison_of(_code(condition).removeprefix("CHECK")),
    )


def _foreign_key(name: str, declared: Segment) -> ForeignKey:
    text = _code(declared)
    declaration = rf"CONSTRAINT {name} FOREIGN KEY \((.*)\) REFERENCES llm\.(\w+) \((.*?)\)( ON DELETE CASCADE)?"
    match = re.fullmatch(declaration, text)
    if match is None:
        raise ValueError(f"cannot read {text}")
    own, target, others, cascades = match.groups()
    return ForeignKey(name, tuple(own.split(", ")), target, tuple(others.split(", ")), bool(cascades))


def _index(created: Segment, table: Table) -> Index:
    where = created.get_child("where_clause")
    return Index(
        name=_last_name(created.get_child("index_reference")),
        keys=_index_keys(created),
        is_unique="UNIQUE" in _keywords(created),
        condition=None
        if where is None
        else condition_of(
            _code(where).removeprefix("WHERE ").replace("N'", "'"),
            column_names=[column.name for column in table.columns],
        ),
    )


def _index_keys(declared: Segment) -> tuple[str, ...]:
    keys = next(declared.recursive_crawl("bracketed_index_column_list_grammar"))
    return tuple(_code(key) for key in keys.recursive_crawl("index_column_definition"))


def _parameters(created: Segment) -> Iterator[Parameter]:
    name: str | None = None
    type_, default = "", REQUIRED
    listed = created.get_child("procedure_parameter_list")
    for part in listed.segments if listed is not None else ():
        if part.is_type("parameter"):
            name = part.raw.removeprefix("@")
        elif part.is_type("data_type"):
            type_ = "text" if part.raw.lower().startswith("nvarchar") else _logical_type(part)
        elif part.is_type("expression"):
            default = _default(part.raw, type_)
        elif part.is_type("comma") and name is not None:
            yield Parameter(name, type_, default)
            name, default = None, REQUIRED
    if name is not None:
        yield Parameter(name, type_, default)


def _result_columns(name: str, bodies: Mapping[str, Segment]) -> tuple[str, ...]:
    """Return the names of the one result set: of the only SELECT that neither assigns nor feeds another statement."""
    answers = []
    for statement in bodies[name].recursive_crawl("statement"):
        select = statement.get_child("select_statement")
        if select is not None:
            elements = select.get_child("select_clause").get_children("select_clause_element")
            if not any(re.match(r"@\w+ = ", _code(element)) for element in elements):
                answers.append(tuple(_result_name(element) for element in elements))
    if not answers and len(called := _calls(bodies[name])) == 1:
        (other,) = called  # what it answers is handed on as it is
        return _result_columns(other, bodies)
    if len(answers) != 1:
        raise ValueError(f"{name} has {len(answers)} result sets")
    return answers[0]


def _result_name(element: Segment) -> str:
    alias = element.get_child("alias_expression")
    return str((alias or element.get_child("column_reference")).get_children("naked_identifier")[-1].raw)


def _calls(created: Segment) -> frozenset[str]:
    return frozenset(
        _last_name(reference)
        for executed in created.recursive_crawl("execute_script_statement")
        if (reference := executed.get_child("object_reference")) is not None and reference.raw.startswith("llm.")
    )


def _grants(tree: Segment) -> Iterator[tuple[str, str, str]]:
    for granted in tree.recursive_crawl("grant_statement"):
        match = re.fullmatch(r"GRANT (\w+) ON llm\.(\w+) TO (\w+)", _code(granted))
        if match is None:
            raise ValueError(f"cannot read {granted.raw}")
        yield match.group(1), match.group(2), match.group(3)


def _logical_type(declared: Segment) -> str:
    text = declared.raw.lower().replace(" ", "")
    if text == "nvarchar(max)":
        return "text"
    return text.replace("nvarchar(", "text(") if text.startswith("nvarchar(") else _TYPES[text]


def _default(text: str, type_: str) -> str:
    if type_ == "bool":
        return {"0": "false", "1": "true"}.get(text, text.lower())
    return _DEFAULTS.get(text, text.lower())


def _texts(tree: Segment) -> Iterator[str]:
    for literal in tree.recursive_crawl("quoted_literal"):
        yield literal.raw.removeprefix("N").strip("'")


def _keywords(segment: Segment) -> set[str]:
    return {keyword.raw.upper() for keyword in segment.recursive_crawl("keyword")}


def _last_name(reference: Segment) -> str:
    return str(reference.get_children("naked_identifier")[-1].raw)


def _code(segment: Segment) -> str:
    """Return a segment's text without comments, its white space in single blanks."""
    return re.sub(r"\s+", " ", "".join(raw.raw for raw in segment.raw_segments if not raw.is_type("comment"))).strip()
