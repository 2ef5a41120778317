"""The rows of CSV and JSONL files as subjects.

For example, in addition to the keys of ``files``::

    entity = "ticket"               # the column that names the subject
    text = ["title", "description"] # a column, or several: each is an item of the evidence
    uri = "link"                    # optional: the column with the address of the original

A change of the file changes the tokens of all its rows.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from derive.errors import SourceError
from derive.evidence.references import EvidenceRef
from derive.intake.line_format import LineFormat
from derive.intake.records import Record, read_records
from derive.sources.contract import SkippedSubject, Source, SourceSubject, SubjectEvidence, Unreadable
from derive.sources.file_paths import AddressedFile, MatchingFiles
from derive.sources.file_texts import ending_of
from derive.sources.file_tree import OpenedFile
from derive.sources.row_values import check_entity, checked_text, shown_uri

ROW_ENDINGS = frozenset({"csv", "jsonl", "ndjson"})
MAX_ROWS = 1_000_000
"""Rows of a source: their entities are compared in memory, as hashes of 8 bytes."""
_ROW = "#line="


@dataclass(frozen=True, slots=True)
class RowColumns:
    """The columns that a source reads."""

    entity: str
    texts: tuple[str, ...]
    uri: str | None


class RowFilesSource(Source):
    """The rows of the files of a tree that match its globs."""

    kind = "files"

    def __init__(self, name: str, entity_type: str, files: MatchingFiles, columns: RowColumns) -> None:
        self.name = name
        self._entity_type = entity_type
        self._files = files
        self._columns = columns

    def subjects(self) -> Iterator[SourceSubject | Unreadable | SkippedSubject]:
        """As ``Source.subjects``; the rows are read, but their texts are not looked at."""
        for found in self.read_all():
            yield found.subject if isinstance(found, SubjectEvidence) else found

    def read_all(self) -> Iterator[SubjectEvidence | Unreadable | SkippedSubject]:
        """As ``Source.read_all``."""
        seen: set[int] = set()
        for file in self._files:
            if isinstance(file, Unreadable):
                yield file
            else:
                yield from self._rows_of(file, seen)

    def with_evidence(
        self, subjects: Iterable[SourceSubject]
    ) -> Iterator[SubjectEvidence | Unreadable | SkippedSubject]:
        """As ``Source.with_evidence``; in the order of ``subjects`` each file is read once."""
        with ExitStack() as stack:
            reader: _RowReader | None = None
            for subject in subjects:
                try:
                    address, line = _split(subject.address)
                    path = self._files.path_of(address)
                    if reader is None or not reader.can_reach(path, line):
                        stack.close()
                        reader = None
                        reader = _RowReader(path, stack.enter_context(self._files.tree.open_file(path)))
                    yield self._of(subject, reader.row(line), reader)
                except SourceError as error:
                    yield Unreadable(subject.address, str(error), subject)

    def _rows_of(self, file: AddressedFile, seen: set[int]) -> Iterator[SubjectEvidence | Unreadable]:
        try:
            with self._files.tree.open_file(file.path) as opened:
                reader = _RowReader(file.path, opened)
                for record in reader.records:
                    yield self._first_of(self._read(record, file.address, reader), seen)
                if not opened.is_unchanged():
                    raise SourceError("it changed while it was read; it is read again the next time")
        except SourceError as error:
            yield Unreadable(file.address, str(error))

    def _first_of(self, found: SubjectEvidence | Unreadable, seen: set[int]) -> SubjectEvidence | Unreadable:
        if isinstance(found, Unreadable):
            return found
        entity = hash(found.subject.entity_id)
        if entity in seen:
            return Unreadable(found.subject.address, "an earlier row has this entity, and this one is not read")
        if len(seen) == MAX_ROWS:
            raise SourceError(f"the source has more than {MAX_ROWS:,} rows: split it")
        seen.add(entity)
        return found

    def _of(self, subject: SourceSubject, record: Record | None, reader: "_RowReader") -> SubjectEvidence | Unreadable:
        if record is None:
            raise SourceError("its row is no longer in the file")
        found = self._read(record, _split(subject.address)[0], reader)
        if isinstance(found, SubjectEvidence) and found.subject.entity_id != subject.entity_id:
            raise SourceError("another row is in its place: it is read again the next time")
        return found if isinstance(found, SubjectEvidence) else Unreadable(found.address, found.reason, subject)

    def _read(self, record: Record, address: str, reader: "_RowReader") -> SubjectEvidence | Unreadable:
        address = f"{address}{_ROW}{record.line}"
        if record.values is None:
            return Unreadable(address, f"line {record.line} {record.why}")
        values, subject = record.values, None
        try:
            entity = check_entity(_cell(values, self._columns.entity), column=self._columns.entity)
            subject = SourceSubject(self._entity_type, entity, reader.file.change_token, address)
            uri = shown_uri(_cell(values, self._columns.uri)) if self._columns.uri else None
            items = tuple(
                EvidenceRef(evidence_id=column, source_uri=uri or address, text=text)
                for column in self._columns.texts
                if (text := checked_text(_cell(values, column), column=column)) is not None
            )
            if not items:
                raise SourceError(f"it has no text: {' and '.join(self._columns.texts)} is empty")
        except SourceError as error:
            return Unreadable(address, str(error), subject)
        return SubjectEvidence(subject, items)


class _RowReader:
    """Reads the rows of one open file from first to last."""

    def __init__(self, path: str, file: OpenedFile) -> None:
        self._path = path
        self.file = file
        self.records = read_records(file.stream, LineFormat.CSV if ending_of(path) == "csv" else LineFormat.JSONL)
        self._next_line = 1

    def can_reach(self, path: str, line: int) -> bool:
        """Whether the row lies ahead in this file."""
        return path == self._path and line >= self._next_line

    def row(self, line: int) -> Record | None:
        """Return the row that begins at a line; None if there is none."""
        for record in self.records:
            self._next_line = record.line + 1
            if record.line == line:
                return record
            if record.line > line:
                return None
        return None


def _cell(values: Mapping[str, Any], column: str) -> str | None:
    value = values.get(column)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool | list | dict):
        raise SourceError(f"{column} is no text")
    return str(value)


def _split(address: str) -> tuple[str, int]:
    file, _, line = address.rpartition(_ROW)
    if not line.isascii() or not line.isdigit() or len(line) > 12:
        raise SourceError("it is not in this source")
    return file, int(line)
