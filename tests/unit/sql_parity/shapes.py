"""What the two engines must agree on, in words that belong to neither."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from derive.errors import ErrorKind
from derive.states import JobEventName, LeaseState

REQUIRED = "required"
"""The default of a parameter that has none."""

ROLES = frozenset({"llm_worker", "llm_operator", "llm_reader"})

_TOLD_WORDS = frozenset(map(str, (*JobEventName, *ErrorKind, *LeaseState)))
_OPERATORS_THAT_TURN = re.compile(r"<>|!=|\bNOT IN\b|\bOR\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its logical type, and whether its text compares by code point."""

    name: str
    type: str
    is_nullable: bool
    default: str | None
    is_identity: bool
    is_by_code_point: bool


@dataclass(frozen=True, slots=True)
class Condition:
    """A filter, told by what it names: columns, tests for null, texts; and whether it excludes or offers a choice."""

    columns: frozenset[str]
    nulls: frozenset[tuple[str, str]]
    texts: frozenset[str]
    turns: bool


@dataclass(frozen=True, slots=True)
class Check:
    """A CHECK constraint: the columns it judges, the words it lists, and its comparison where it is a simple one."""

    name: str
    columns: frozenset[str]
    words: frozenset[str]
    comparison: str | None


@dataclass(frozen=True, slots=True)
class Index:
    """An index or a key: its columns in order (``priority DESC``) and its filter, not what it merely carries."""

    name: str
    keys: tuple[str, ...]
    is_unique: bool
    condition: Condition | None


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A reference from one table's columns to another's."""

    name: str
    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]
    cascades: bool


@dataclass(frozen=True, slots=True)
class Table:
    """One table with all that is declared on it."""

    columns: tuple[Column, ...]
    checks: Mapping[str, Check]
    indexes: Mapping[str, Index]
    foreign_keys: Mapping[str, ForeignKey]
    granted: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter: its logical type, and its default or ``required``."""

    name: str
    type: str
    default: str


@dataclass(frozen=True, slots=True)
class Procedure:
    """One procedure: what goes in, what comes out, which errors it raises, which words it writes, who may call it.

    ``error_numbers`` are the last digits. Errors and words are of the procedure and of all it calls in the schema.
    """

    parameters: tuple[Parameter, ...]
    result_columns: tuple[str, ...]
    error_numbers: frozenset[int]
    told_words: frozenset[str]
    granted: frozenset[str]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All of the schema ``llm`` that callers and readers can see."""

    tables: Mapping[str, Table]
    procedures: Mapping[str, Procedure]


def condition_of(text: str, *, column_names: Iterable[str]) -> Condition:
    """Return what a filter names; identifiers that are no column of the table are left out."""
    without_texts = re.sub(r"'[^']*'", " ", text)
    words = set(re.findall(r"\w+", without_texts))
    return Condition(
        columns=frozenset(words & set(column_names)),
        nulls=frozenset(
            (name, "not null" if negated else "null")
            for name, negated in re.findall(r"(\w+)\)? IS (NOT )?NULL", without_texts)
        ),
        texts=frozenset(re.findall(r"'([^']*)'", text)),
        turns=bool(_OPERATORS_THAT_TURN.search(without_texts)),
    )


def comparison_of(text: str) -> str | None:
    """Return ``priority >= 0`` out of a check that is just that."""
    match = re.fullmatch(r"[\s(]*(\w+) (>=|>) (\d+)[\s)]*", text)
    return " ".join(match.groups()) if match else None


def told_words(texts: Iterable[str]) -> frozenset[str]:
    """Return those texts that are events, error kinds or lease states."""
    return frozenset(texts) & _TOLD_WORDS


def reachable(names: Iterable[str], calls: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return the names and all that is called from them, directly or not."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(calls.get(name, frozenset()))
    return frozenset(found)
