"""An open folder of the lake, and functions that read a stream with a limit or hash it."""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import BinaryIO, Self

from derive.errors import LakeFileMissing, LakeFileTooLarge
from derive.lake_stores.paths import check_name
from derive.lake_stores.store import Entry, FolderReader, Store

_CHUNK_BYTES = 1 << 20


class OpenFolder:
    """An open folder of the lake, as a context manager. Not thread-safe; raises the same errors as the lake.

    ``entries`` lists its content by name when it was opened; empty if it does not exist.
    """

    def __init__(self, store: Store, uri: str) -> None:
        self.uri = uri
        self.entries: Mapping[str, Entry] = {}
        self._store = store
        self._reader: FolderReader | None = None
        try:
            self._reader = store.open_folder(uri)
            self.entries = {entry.name: entry for entry in self._reader.entries()}
        except LakeFileMissing:
            self.close()
        except BaseException:
            self.close()
            raise

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """As ``Lake.read``, for the file of this name."""
        check_name(name)
        if self._reader is None:
            raise LakeFileMissing(f"{self.uri}/{name} is not in the lake")
        return _bounded(self._reader.read(name, max_bytes=max_bytes + 1), f"{self.uri}/{name}", max_bytes)

    def read_start(self, name: str, *, max_bytes: int) -> tuple[bytes, int]:
        """As ``Lake.read_start``, for the file of this name."""
        with self._reading(name) as stream:
            return stream.read(max_bytes), stream.seek(0, 2)

    def hash_file(self, name: str) -> tuple[str, int]:
        """As ``Lake.hash_file``, for the file of this name."""
        with self._reading(name) as stream:
            return hash_of(stream)

    def close(self) -> None:
        """Close the folder; may be repeated."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @contextlib.contextmanager
    def _reading(self, name: str) -> Iterator[BinaryIO]:
        check_name(name)
        uri = f"{self.uri}/{name}"
        if self._reader is None:
            raise LakeFileMissing(f"{uri} is not in the lake")
        with self._store.reading(uri), self._reader.open_file(name) as stream:
            yield stream


def read_bounded(stream: BinaryIO, uri: str, max_bytes: int | None) -> bytes:
    """Return the rest of a stream; raise LakeFileTooLarge if it is more than ``max_bytes``."""
    if max_bytes is None:
        return stream.read(-1)
    return _bounded(stream.read(max_bytes + 1), uri, max_bytes)


def _bounded(data: bytes, uri: str, max_bytes: int) -> bytes:
    if len(data) > max_bytes:
        raise LakeFileTooLarge(f"{uri} in the lake is larger than {max_bytes} bytes")
    return data


def hash_of(stream: BinaryIO) -> tuple[str, int]:
    """Return the SHA-256 (64 hex) and the size of the rest of a stream, in constant memory."""
    digest, byte_count = hashlib.sha256(), 0
    while chunk := stream.read(_CHUNK_BYTES):
        digest.update(chunk)
        byte_count += len(chunk)
    return digest.hexdigest(), byte_count
