"""PostgreSQL's catalogue as a live, migrated database has it."""

import re
from collections.abc import Iterator
from typing import Any

from django.db import connection

from tests.unit.sql_parity.shapes import (
    REQUIRED,
    ROLES,
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

_TYPES = {
    "uuid": "guid",
    "timestamp with time zone": "utc",
    "integer": "int",
    "bigint": "bigint",
    "boolean": "bool",
    "text": "text",
    "numeric(5,2)": "decimal(5,2)",
    "numeric": "decimal",  # of a parameter, whose precision is not kept
}
_DEFAULTS = {"clock_timestamp()": "now", "gen_random_uuid()": "new guid", "SESSION_USER": "login"}

_COLUMNS = """
    SELECT c.relname, a.attname,
        CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) ELSE format_type(t.oid, a.atttypmod) END,
        a.attnotnull, a.attidentity <> '', pg_get_expr(d.adbin, d.adrelid), l.collname,
        (SELECT pg_get_constraintdef(k.oid) FROM pg_constraint AS k WHERE k.contypid = t.oid AND k.contype = 'c')
    FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_type AS t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
    LEFT JOIN pg_collation AS l ON l.oid = a.attcollation
    WHERE c.relnamespace = 'llm'::regnamespace AND c.relkind = 'r'
    ORDER BY c.relname, a.attnum
"""
_VIEW_COLUMNS = """
    SELECT c.relname, a.attname
    FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'llm'::regnamespace AND c.relkind = 'v'
    ORDER BY c.relname, a.attnum
"""
_CONSTRAINTS = """
    SELECT c.relname, k.conname, k.contype::text, pg_get_constraintdef(k.oid), r.relname,
        ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS n (attnum, place)
            JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = n.attnum ORDER BY n.place),
        ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS n (attnum, place)
            JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = n.attnum ORDER BY n.place)
    FROM pg_constraint AS k
    JOIN pg_class AS c ON c.oid = k.conrelid
    LEFT JOIN pg_class AS r ON r.oid = k.confrelid
    WHERE k.connamespace = 'llm'::regnamespace AND k.contype IN ('c', 'f')
"""
_INDEXES = """
    SELECT t.relname, c.relname, i.indisunique, pg_get_expr(i.indpred, i.indrelid),
        ARRAY(SELECT pg_get_indexdef(i.indexrelid, n, true)
                || CASE WHEN i.indoption[n - 1] & 1 = 1 THEN ' DESC' ELSE '' END
            FROM generate_series(1, i.indnkeyatts) AS n ORDER BY n)
    FROM pg_index AS i
    JOIN pg_class AS c ON c.oid = i.indexrelid
    JOIN pg_class AS t ON t.oid = i.indrelid
    WHERE t.relnamespace = 'llm'::regnamespace AND t.relkind = 'r'
"""
_TABLE_GRANTS = """
    SELECT c.relname, a.privilege_type, r.rolname
    FROM pg_class AS c, aclexplode(c.relacl) AS a, pg_roles AS r
    WHERE c.relnamespace = 'llm'::regnamespace AND c.relkind = 'r' AND r.oid = a.grantee AND r.rolname = ANY (%s)
"""
_FUNCTIONS = """
    SELECT p.proname, p.prosrc, coalesce(p.proargnames, '{}'),
        ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS n (t, place)
            ORDER BY n.place),
        pg_get_expr(p.proargdefaults, 0),
        ARRAY(SELECT a.attname::text FROM pg_type AS t JOIN pg_attribute AS a ON a.attrelid = t.typrelid
            WHERE t.oid = p.prorettype AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum),
        ARRAY(SELECT r.rolname::text FROM aclexplode(p.proacl) AS a JOIN pg_roles AS r ON r.oid = a.grantee
            WHERE a.privilege_type = 'EXECUTE')
    FROM pg_proc AS p
    WHERE p.pronamespace = 'llm'::regnamespace
"""


def view_columns() -> dict[str, list[str]]:
    """Return each view's columns in order."""
    columns: dict[str, list[str]] = {}
    for view, name in _rows(_VIEW_COLUMNS):
        columns.setdefault(view, []).append(name)
    return columns


def read_catalogue() -> Catalogue:
    """Return the catalogue of the database that Django is connected to."""
    constraints, indexes, grants = _rows(_CONSTRAINTS), _rows(_INDEXES), _rows(_TABLE_GRANTS, [sorted(ROLES)])
    columns: dict[str, list[Column]] = {}
    domain_checks: dict[str, list[Check]] = {}
    for table, name, declared, not_null, is_identity, default, collation, definition in _rows(_COLUMNS):
        columns.setdefault(table, []).append(
            Column(
                name=name,
                type=_logical_type(declared),
                is_nullable=not not_null,
                default=_default(default) if default is not None else None,
                is_identity=is_identity,
                is_by_code_point=collation == "C",
            )
        )
        if definition is not None:
            # What a domain checks is on SQL Server, which has none, a CHECK of each column.
            check = Check(f"ck_{table}_{name}", frozenset({name}), _words(definition), comparison=None)
            domain_checks.setdefault(table, []).append(check)
    return Catalogue(
        tables={
            table: Table(
                columns=tuple(columns[table]),
                checks={check.name: check for check in [*_checks(constraints, table), *domain_checks.get(table, [])]},
                indexes={index.name: index for index in _indexes(indexes, table, columns[table])},
                foreign_keys={key.name: key for key in _foreign_keys(constraints, table)},
                granted={
                    role: frozenset(right for owner, right, to in grants if (owner, to) == (table, role))
                    for role in sorted({to for owner, _, to in grants if owner == table})
                },
            )
            for table in columns
        },
        procedures=_procedures(),
    )


def _checks(constraints: list[tuple[Any, ...]], table: str) -> Iterator[Check]:
    for owner, name, kind, definition, _, own, _ in constraints:
        if (owner, kind) == (table, "c"):
            yield Check(
                name=name,
                columns=frozenset(own),
                words=_words(definition),
                comparison=comparison_of(definition.removeprefix("CHECK ")),
            )


def _words(definition: str) -> frozenset[str]:
    """Return the words that a constraint lists."""
    return frozenset(text for text in re.findall(r"'([^']*)'", definition) if re.fullmatch(r"[A-Za-z_]{2,}", text))


def _foreign_keys(constraints: list[tuple[Any, ...]], table: str) -> Iterator[ForeignKey]:
    for owner, name, kind, definition, target, own, others in constraints:
        if (owner, kind) == (table, "f"):
            yield ForeignKey(name, tuple(own), target, tuple(others), "ON DELETE CASCADE" in definition)


def _indexes(rows: list[tuple[Any, ...]], table: str, columns: list[Column]) -> Iterator[Index]:
    for owner, name, is_unique, predicate, keys in rows:
        if owner == table:
            condition = None
            if predicate is not None:
                plain = re.sub(r"::[a-z_. ]+(\[\])?", "", predicate)
                condition = condition_of(plain, column_names=[column.name for column in columns])
            # SQL Server has nulls before every text, as PostgreSQL has the empty text.
            plain_keys = tuple(re.sub(r"COALESCE\((\w+)\W[^']*, ''[^)]*\)", r"\1", key) for key in keys)
            yield Index(name=name, keys=plain_keys, is_unique=is_unique, condition=condition)


def _procedures() -> dict[str, Procedure]:
    functions = {row[0]: row for row in _rows(_FUNCTIONS)}
    bodies = {name: re.sub(r"--.*", "", row[1]) for name, row in functions.items()}
    calls = {name: frozenset(re.findall(r"\bllm\.(\w+)\(", body)) & functions.keys() for name, body in bodies.items()}
    return {
        name: Procedure(
            parameters=tuple(_parameters(names, types, defaults)),
            result_columns=tuple(results),
            error_numbers=frozenset(
                int(number)
                for called in reachable([name], calls)
                for number in re.findall(r"'HC(\d{3})'", bodies[called])
            ),
            told_words=told_words(
                text for called in reachable([name], calls) for text in re.findall(r"'([^']*)'", bodies[called])
            ),
            granted=frozenset(roles) & ROLES,
        )
        for name, (_, _, names, types, defaults, results, roles) in functions.items()
        if name.startswith("usp_")
    }


def _parameters(names: list[str], types: list[str], defaults: str | None) -> Iterator[Parameter]:
    given = defaults.split(", ") if defaults else []
    values = [REQUIRED] * (len(types) - len(given)) + [_default(value) for value in given]
    for name, declared, value in zip(names, types, values, strict=True):
        yield Parameter(name, _logical_type(declared), value)


def _logical_type(declared: str) -> str:
    if declared.startswith("character varying("):
        return declared.replace("character varying", "text")
    return _TYPES[declared]


def _default(text: str) -> str:
    return _DEFAULTS.get(text, text.partition("::")[0].lower())


def _rows(sql: str, parameters: list[Any] | None = None) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())
