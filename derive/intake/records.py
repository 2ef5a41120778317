"""Reads records from a byte stream of JSONL or CSV with a header, one at a time, in bounded memory.

File contents never raise: an unreadable record has a reason.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from derive.intake.line_format import LineFormat
from derive.strict_types import parse_json

MAX_LINE_BYTES = 16 * 1024 * 1024
"""The longest line of JSONL and the longest CSV cell: 200 inline items of evidence fit well."""
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Record:
    """The values of one record, or why there are none; ``line`` is where it starts, from 1."""

    line: int
    values: dict[str, Any] | None
    why: str = ""


def read_records(
    stream: BinaryIO, line_format: LineFormat, *, from_line: int = 1, on_bytes: Callable[[int], object] | None = None
) -> Iterator[Record]:
    """Yield the records that start at ``from_line`` or later; blank lines are skipped.

    ``on_bytes`` receives the size of each line as it is read.
    """
    lines = _lines(stream, on_bytes)
    yield from _csv_records(lines, from_line) if line_format is LineFormat.CSV else _json_records(lines, from_line)


def _lines(stream: BinaryIO, on_bytes: Callable[[int], object] | None) -> Iterator[bytes]:
    """Yield the lines, each only a little beyond the limit if it is too long."""
    first = True
    while line := stream.readline(MAX_LINE_BYTES + 2):
        rest = line
        while not rest.endswith(b"\n") and (rest := stream.readline(MAX_LINE_BYTES)):
            if on_bytes:
                on_bytes(len(rest))
        if on_bytes:
            on_bytes(len(line))
        yield line.removeprefix(_BOM) if first else line
        first = False


def _json_records(lines: Iterator[bytes], from_line: int) -> Iterator[Record]:
    for number, line in enumerate(lines, start=1):
        if number >= from_line and not line.isspace() and line:
            yield _json_record(number, line)


def _json_record(number: int, line: bytes) -> Record:
    if len(line) > MAX_LINE_BYTES and len(line.rstrip(b"\r\n")) > MAX_LINE_BYTES:
        return Record(number, None, f"is longer than {MAX_LINE_BYTES} bytes")
    try:
        values = parse_json(line.decode())
    except UnicodeDecodeError as error:
        return Record(number, None, f"is not UTF-8 (byte {error.start + 1} of the line)")
    except ValueError as error:
        return Record(number, None, f"is not JSON: {error}")
    if not isinstance(values, dict):
        return Record(number, None, "is not a JSON object")
    return Record(number, values)


def _csv_records(lines: Iterator[bytes], from_line: int) -> Iterator[Record]:
    reader = csv.reader(_texts(lines), strict=True)
    csv.field_size_limit(MAX_LINE_BYTES)
    header: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Record(line, None, f"is not CSV: {error}")
            if header is None or "field larger" in str(error):
                # Without a header, or inside a cell that never ends, every further record would be misread.
                return
            continue
        if header is None:
            header = [name.strip() for name in cells]
            if why := _fault_of_header(header):
                yield Record(line, None, why)
                return
        elif line >= from_line and any(cells):
            yield _csv_record(line, header, cells)


def _texts(lines: Iterator[bytes]) -> Iterator[str]:
    for line in lines:
        yield line.decode(errors="surrogateescape")


def _fault_of_header(header: list[str]) -> str:
    if len(set(header)) != len(header) or "" in header:
        return "the header names a column twice, or not at all"
    return ""


def _csv_record(line: int, header: list[str], cells: list[str]) -> Record:
    if len(cells) != len(header):
        return Record(line, None, f"has {len(cells)} cells where the header has {len(header)}")
    if any("\udc80" <= sign <= "\udcff" for cell in cells if not cell.isascii() for sign in cell):
        return Record(line, None, "is not UTF-8")
    return Record(line, {name: cell for name, cell in zip(header, cells, strict=True) if cell})
