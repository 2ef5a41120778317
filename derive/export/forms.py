"""JSONL and CSV, a batch of rows at a time; what stands in a row is data in each of them, whatever it looks like."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import Any, Protocol

from derive.export.columns import Column, Kind


class FileFormat(StrEnum):
    """How a file is written."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class Writer(Protocol):
    """Turns batches of rows into the bytes of a file."""

    def head(self) -> bytes:
        """Return what the file begins with."""
        ...

    def rows(self, batch: Sequence[Sequence[Any]]) -> bytes:
        """Return the bytes of these rows; appended to what came before."""
        ...

    def tail(self) -> bytes:
        """Return what the file ends with."""
        ...


_quoted: Callable[[str], str] = json.encoder.encode_basestring  # json's own, in C
_LINE_ENDS = re.compile("[\r\n]")
_UTC_END = "+00:00"
_ROWS_AT_ONCE = 50

Values = Sequence[Any]
"""One column of a batch: columns are written at once, since a call for each cell costs more than the cell."""


def time_text(value: datetime | str) -> str:
    """Return a moment as every form but Parquet shows it: UTC, microseconds, Z; a text of one is that already."""
    if isinstance(value, str):
        return value
    text = value.isoformat("T", "microseconds")
    if value.tzinfo is None:
        return text + "Z"
    if text.endswith(_UTC_END):
        return text[: -len(_UTC_END)] + "Z"
    return time_text(value.astimezone(UTC))


def guid_text(value: Any) -> str:
    """Return a guid in lower case with dashes, whatever the driver gave."""
    return str(value).lower()


def _one_line(text: str) -> str:
    """Return JSON in one line: between two tokens a line's end is a blank; inside a string JSON has none."""
    return _LINE_ENDS.sub(" ", text) if "\n" in text or "\r" in text else text


_JSON_TEXT: dict[Kind, Callable[[Any], str]] = {
    Kind.GUID: lambda value: f'"{guid_text(value)}"',
    Kind.TEXT: _quoted,
    Kind.INTEGER: str,
    Kind.BOOLEAN: lambda value: "true" if value else "false",
    Kind.TIME: lambda value: f'"{time_text(value)}"',
    Kind.JSON: _one_line,
}


class JsonLines:
    """An object a line, UTF-8. A JSON column is that JSON, number by number as it was stored."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._texts = [_JSON_TEXT[column.kind] for column in columns]
        self._line = "{" + ", ".join(f"{_quoted(column.name)}: %s" for column in columns) + "}\n"

    def head(self) -> bytes:
        """Return nothing: each line stands by itself."""
        return b""

    def rows(self, batch: Sequence[Sequence[Any]]) -> bytes:
        """Return a line for each row."""
        columns = [
            ["null" if value is None else text(value) for value in values]
            for text, values in zip(self._texts, zip(*batch, strict=True), strict=False)
        ]
        return "".join(map(self._line.__mod__, zip(*columns, strict=True))).encode(errors="replace")

    def tail(self) -> bytes:
        """Return nothing."""
        return b""


_FORMULA_SIGNS = frozenset("=+-@\t\r\n")
_NUMBER = re.compile(r"[+-]?[0-9]+([.,][0-9]+)?")


def without_formula(cell: Any) -> Any:
    """Return a cell that no spreadsheet takes for a formula (OWASP, CSV injection); a plain number stays one."""
    if isinstance(cell, str) and cell[:1] in _FORMULA_SIGNS and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def csv_writer(text: io.StringIO) -> Any:
    """Return a writer that quotes every text: a spreadsheet that separates by ``;`` or tabs would split others."""
    return csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)


def _guarded(values: Values) -> Values:
    signs = _FORMULA_SIGNS
    return [without_formula(value) if value and value[0] in signs else value for value in values]


def _as_it_is(values: Values) -> Values:
    return values


_CELLS: dict[Kind, Callable[[Values], Values]] = {
    Kind.GUID: lambda values: [value and guid_text(value) for value in values],
    Kind.TEXT: _guarded,
    Kind.INTEGER: _as_it_is,
    Kind.BOOLEAN: lambda values: [None if value is None else "true" if value else "false" for value in values],
    Kind.TIME: lambda values: [value and time_text(value) for value in values],
    Kind.JSON: _guarded,
}


class Csv:
    """RFC 4180, UTF-8, a header line, every text quoted, null as an empty cell.

    Cells that a spreadsheet would run as a formula get an apostrophe in front, unless ``is_exact``.
    """

    def __init__(self, columns: Sequence[Column], *, is_exact: bool = False) -> None:
        exact = dict.fromkeys((Kind.TEXT, Kind.JSON), _as_it_is) if is_exact else {}
        self._names = [column.name for column in columns]
        self._cells = [{**_CELLS, **exact}[column.kind] for column in columns]

    def head(self) -> bytes:
        """Return the header line."""
        return (",".join(self._names) + "\r\n").encode()

    def rows(self, batch: Sequence[Sequence[Any]]) -> bytes:
        """Return a record for each row."""
        columns = [cells(values) for cells, values in zip(self._cells, zip(*batch, strict=True), strict=False)]
        return _written(zip(*columns, strict=True))

    def tail(self) -> bytes:
        """Return nothing."""
        return b""


def _written(rows: Iterable[Iterable[Any]]) -> bytes:
    text, waiting = io.StringIO(newline=""), iter(rows)
    writer = csv_writer(text)
    # In C without a break, no other thread gets on: the next rows' reader would wait at each of its steps.
    while portion := list(islice(waiting, _ROWS_AT_ONCE)):
        writer.writerows(portion)
    return text.getvalue().encode(errors="replace")
