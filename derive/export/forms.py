"""JSONL and CSV, one batch of rows at a time; cell contents are never interpreted."""

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
    """The format of a file."""

    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"


class Writer(Protocol):
    """Encodes batches of rows."""

    def head(self) -> bytes:
        """Return the start of the file."""
        ...

    def rows(self, batch: Sequence[Sequence[Any]]) -> bytes:
        """Return the bytes to append for these rows."""
        ...

    def tail(self) -> bytes:
        """Return the end of the file."""
        ...


_quoted: Callable[[str], str] = json.encoder.encode_basestring  # json's own, in C
_LINE_ENDS = re.compile("[\r\n]")
_UTC_END = "+00:00"
_ROWS_AT_ONCE = 50

Values = Sequence[Any]
"""One column of a batch: columns are encoded at once, since a call per cell costs more than the cell."""


def time_text(value: datetime | str) -> str:
    """Format a time for all formats but Parquet: UTC, microseconds, Z; text already has this form."""
    if isinstance(value, str):
        return value
    text = value.isoformat("T", "microseconds")
    if value.tzinfo is None:
        return text + "Z"
    if text.endswith(_UTC_END):
        return text[: -len(_UTC_END)] + "Z"
    return time_text(value.astimezone(UTC))


def guid_text(value: Any) -> str:
    """Return a GUID in lower case with dashes, whatever the driver returned."""
    return str(value).lower()


def _one_line(text: str) -> str:
    """Return JSON on one line: line breaks between tokens become spaces; strings cannot contain any."""
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
    """One object per line, UTF-8. JSON columns are copied, with numbers exactly as stored."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._texts = [_JSON_TEXT[column.kind] for column in columns]
        self._line = "{" + ", ".join(f"{_quoted(column.name)}: %s" for column in columns) + "}\n"

    def head(self) -> bytes:
        """Return nothing: each line stands by itself."""
        return b""

    def rows(self, batch: Sequence[Sequence[Any]]) -> bytes:
        """Return one line per row."""
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
    """Escape a cell that a spreadsheet would run as a formula (OWASP, CSV injection); numbers stay numbers."""
    if isinstance(cell, str) and cell[:1] in _FORMULA_SIGNS and not _NUMBER.fullmatch(cell):
        return f"'{cell}"
    return cell


def csv_writer(text: io.StringIO) -> Any:
    """Return a writer that quotes every text: spreadsheets with other separators would split unquoted ones."""
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
        """Return one record per row."""
        columns = [cells(values) for cells, values in zip(self._cells, zip(*batch, strict=True), strict=False)]
        return _written(zip(*columns, strict=True))

    def tail(self) -> bytes:
        """Return nothing."""
        return b""


def _written(rows: Iterable[Iterable[Any]]) -> bytes:
    text, waiting = io.StringIO(newline=""), iter(rows)
    writer = csv_writer(text)
    # A long call in C would block other threads: the next rows' reader would wait at each of its steps.
    while portion := list(islice(waiting, _ROWS_AT_ONCE)):
        writer.writerows(portion)
    return text.getvalue().encode(errors="replace")
