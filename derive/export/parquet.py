"""Parquet, by pyarrow, which is an optional dependency.

A Parquet file is unusable until its end is written, so an interrupted one could not be resumed. Rows are therefore
first collected in Arrow's stream format: a schema, then batches that are each complete.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from io import RawIOBase
from pathlib import Path
from types import ModuleType
from typing import Any

from typing_extensions import override

from derive.errors import ConfigurationError
from derive.export.columns import Column, Kind
from derive.export.forms import guid_text

GROUP_ROWS = 20_000
_VALUE: dict[Kind, Callable[[Any], Any]] = {
    Kind.GUID: guid_text,
    Kind.BOOLEAN: bool,
    Kind.TEXT: lambda value: _whole(str(value)),
    Kind.JSON: lambda value: _whole(str(value)),
    # In the form of ``time_text``, or already a time.
    Kind.TIME: lambda value: datetime.fromisoformat(value) if isinstance(value, str) else value,
}


def pyarrow() -> ModuleType:
    """Return the package; raises ConfigurationError that says how to install it."""
    try:
        import pyarrow as package
    except ImportError as error:
        raise ConfigurationError(
            "Parquet needs pyarrow, which is not installed: pip install 'pyarrow>=17', or write jsonl or csv"
        ) from error
    return package  # type: ignore[no-any-return]


class ArrowStream:
    """Rows as batches of Arrow's stream format; GUIDs, texts and JSON are strings, times are UTC microseconds."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._arrow = arrow = pyarrow()
        types = {
            Kind.INTEGER: arrow.int64(),
            Kind.BOOLEAN: arrow.bool_(),
            Kind.TIME: arrow.timestamp("us", tz="UTC"),
        }
        self.schema = arrow.schema([(column.name, types.get(column.kind, arrow.string())) for column in columns])
        self._values = [_VALUE.get(column.kind) for column in columns]

    def head(self) -> bytes:
        """Return the schema message."""
        return self.schema.serialize().to_pybytes()  # type: ignore[no-any-return]

    def rows(self, batch: Sequence[Sequence[Any]]) -> bytes:
        """Return the rows' message."""
        return self.batch(batch).serialize().to_pybytes() if batch else b""

    def tail(self) -> bytes:
        """Return nothing: the end of the stream is the end of the data."""
        return b""

    def batch(self, rows: Sequence[Sequence[Any]]) -> Any:
        """Return the rows as a batch."""
        columns = zip(*rows, strict=True)
        arrays = [
            self._arrow.array([_readied(value, ready) for value in column], type=field.type)
            for column, ready, field in zip(columns, self._values, self.schema, strict=True)
        ]
        return self._arrow.record_batch(arrays, schema=self.schema)


class ParquetWriter:
    """Rows as a Parquet file that is sent while it is written, and so cannot be resumed."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._stream = ArrowStream(columns)
        self._sink = _Sink()
        self._waiting: list[Any] = []
        self._row_count = 0
        from pyarrow.parquet import ParquetWriter as Made

        self._made = Made(self._sink, self._stream.schema, compression="zstd")

    def head(self) -> bytes:
        """Return the start of the file."""
        return self._sink.take()

    def rows(self, batch: Sequence[Sequence[Any]]) -> bytes:
        """Return a row group once enough rows are collected."""
        if batch:
            self._waiting.append(self._stream.batch(batch))
            self._row_count += len(batch)
        if self._row_count >= GROUP_ROWS:
            self._write_group()
        return self._sink.take()

    def tail(self) -> bytes:
        """Return the last row group and the end of the file."""
        self._write_group()
        self._made.close()
        return self._sink.take()

    def _write_group(self) -> None:
        if self._waiting:
            self._made.write_table(pyarrow().Table.from_batches(self._waiting, self._stream.schema))
        self._waiting, self._row_count = [], 0


class _Sink(RawIOBase):
    """A buffer that is emptied after each write."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._place = 0

    @override
    def writable(self) -> bool:
        return True

    @override
    def tell(self) -> int:
        return self._place

    @override
    def write(self, content: Any) -> int:
        piece = bytes(content)
        self._pieces.append(piece)
        self._place += len(piece)
        return len(piece)

    def take(self) -> bytes:
        """Return what was written since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _readied(value: Any, ready: Callable[[Any], Any] | None) -> Any:
    return value if value is None or ready is None else ready(value)


def _whole(text: str) -> str:
    """Return text without unpaired surrogates."""
    return text.encode(errors="replace").decode()


def write_parquet(stream: Path, parquet: Path) -> None:
    """Convert a file of Arrow's stream format to Parquet, one row group at a time; raises OSError."""
    arrow = pyarrow()
    from pyarrow.parquet import ParquetWriter

    with (
        arrow.OSFile(str(stream), "rb") as source,
        arrow.ipc.open_stream(source) as reader,
        ParquetWriter(str(parquet), reader.schema, compression="zstd") as writer,
    ):
        for group in _groups(reader):
            writer.write_table(arrow.Table.from_batches(group, reader.schema))


def _groups(batches: Any) -> Iterator[list[Any]]:
    group: list[Any] = []
    rows = size = 0
    for batch in batches:
        group.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        if rows >= GROUP_ROWS or size >= 8 * 1024 * 1024:
            yield group
            group, rows, size = [], 0, 0
    if group:
        yield group
