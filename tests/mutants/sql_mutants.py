"""Faults in a procedure's body: a lock left out, rows that are waited for, a condition, an order or a bound missing.

No SQL Server is there to run T-SQL: of its scripts only what decides locks, order and bounds is changed, which
tests can read in the text.
"""

import re
from collections import Counter
from collections.abc import Iterator

from tests.mutants.mutation import Mutant

_CHANGES: tuple[tuple[str, str], ...] = (
    # Locks.
    (r"FOR NO KEY UPDATE(?: OF \w+)?(?: SKIP LOCKED)?", ""),
    (r"FOR UPDATE(?: OF \w+)?(?: SKIP LOCKED)?", ""),
    (r" SKIP LOCKED", ""),
    (r"PERFORM pg_advisory_xact_lock\([^;]*\);", ""),
    (r"NOT pg_try_advisory_xact_lock\([^\n]*\)(?= THEN)", "FALSE"),
    (r"LOCK TABLE [^;]*;", ""),
    # Bounds and orders.
    (r"\n *LIMIT (?:[^\n();]|\([^\n()]*\))+", "\n"),
    (r"(?<=\n)( *)ORDER BY [^\n;]*", r"\1"),
    (r" ORDER BY j\.job_seq \+ 0", ""),
    (r"(?<=ORDER BY )(\w+\.\w+)(?= DESC)( DESC)", r"\1"),
    (r"(?<=ORDER BY )(\w+\.\w+)(?!\S* DESC)(?=[,\n])", r"\1 DESC"),
    # Not against the clock: a moment that is now to the microsecond cannot be brought about.
    (r" < (?!v_now\b|clock_timestamp)", " <= "),
    (r" <= (?!v_now\b)", " < "),
    (r" > (?!v_now\b|v_begun_utc\b|clock_timestamp)", " >= "),
    (r" >= (?!v_now\b)", " > "),
    (r" \+ 1\b", ""),
    (r" - 1\b", ""),
    (r"\bleast\(", "greatest("),
    (r"\bgreatest\(", "least("),
    # Conditions: one after another, where a line holds a whole one.
    # Not those of a change that repeats what was judged under its lock: nobody can have changed that; nor BETWEEN's.
    (r" AND (?!j\.status IS NOT DISTINCT FROM|\d+\b|'9000-)((?:[^()\n;]|\([^()\n]*\))*?)(?=\n| AND | THEN)", ""),
    (r"(?<=\n)( *)WHERE ((?:[^()\n]|\([^()\n]*\))*)(?=\n *(?:ORDER|LIMIT|\)|RETURNING|FOR))", r"\1"),
    (r" WHERE ((?:[^()\n;]|\([^()\n]*\))*)(?=;)", ""),
    (r"(?<=\n)( *)WHERE ((?:[^()\n;]|\([^()\n]*\))*)\n *AND ", r"\1WHERE "),
    (r"\bIF (?!NOT )([^;\n]+) THEN", r"IF NOT (\1) THEN"),
)
_TSQL_CHANGES: tuple[tuple[str, str], ...] = (
    (r" WITH \((?:[A-Z]+, )*(?:[A-Z]+|INDEX \(\w+\))\)", ""),
    (r"\b(?:UPDLOCK|READPAST|READCOMMITTEDLOCK|HOLDLOCK|ROWLOCK|TABLOCK), ", ""),
    (r", (?:HOLDLOCK|ROWLOCK|READCOMMITTEDLOCK|INDEX \(\w+\))(?=\))", ""),
    (r"EXEC (?:@\w+ = )?sp_getapplock[^;]*;", ""),
    (r"TOP \((?:@\w+|1)\)\s", ""),
    (r"(?<=\n)( *)ORDER BY [^\n;]*", r"\1"),
    (r"(?<=ORDER BY )(\w+\.\w+)(?= DESC)( DESC)", r"\1"),
    (r"(?<=ORDER BY )(\w+\.\w+)(?: ASC)?(?!\S* DESC)(?=[,\n;])", r"\1 DESC"),
    (r"\n *OPTION \([^\n;]*(?=;)", ""),
)
_BODY_BEGINS = re.compile(r"^(AS \$\$|AS|BEGIN)$", re.MULTILINE)
_COMMENT = re.compile(r"--[^\n]*")


def sql_mutants(path: str, source: str) -> Iterator[Mutant]:
    """Yield the mutants of one procedure's script, those of its argument checks left out: others hold every one."""
    begin = _BODY_BEGINS.search(source)
    start = begin.end() if begin else 0
    masked = _COMMENT.sub(lambda found: " " * len(found[0]), source)
    seen: set[str] = set()
    names: Counter[tuple[str, str]] = Counter()
    for pattern, replacement in _TSQL_CHANGES if "/sqlserver/" in path else _CHANGES:
        for found in re.finditer(pattern, masked):
            if found.start() < start or _in_argument_check(masked, found.start()):
                continue
            text = source[: found.start()] + found.expand(replacement) + source[found.end() :]
            if text in seen or text == source:
                continue
            seen.add(text)
            line = source.count("\n", 0, found.start() + 1) + 1
            before = " ".join(found[0].split())
            after = " ".join(found.expand(replacement).split()) or "nothing"
            around = " ".join(source[found.start() :].splitlines()[1 if found[0].startswith("\n") else 0].split())
            within, change = _nth(masked, found), f"{before[:100]} → {after[:100]} at '{around[:60]}'"
            names[within, change] += 1
            # Equal but for its white space to one before it.
            times = names[within, change]
            yield Mutant(path, line, within, change if times == 1 else f"{change} (#{times})", text)


def _nth(masked: str, found: re.Match[str]) -> str:
    """Tell equal pieces apart by their number."""
    return f"#{masked.count(found[0], 0, found.start()) + 1}"


def _in_argument_check(masked: str, position: int) -> bool:
    """Whether the text stands in an IF that only raises an error."""
    before = masked.rfind("\n    IF ", 0, position + 1)
    ends = masked.find("END IF;", before) if before >= 0 else -1
    return 0 <= before <= position < ends and "RAISE EXCEPTION" in masked[before:ends]
