"""The lake in an object store, accessed through fsspec.

A put is atomic. It first checks whether the name is taken, and is exclusive if the store has a condition for that
(S3's ``If-None-Match``, Azure's ``overwrite=False``). With a store that ignores the condition, as some S3-compatible
ones do, two *processes* that write different bytes to one name at the same moment are not kept apart; run folders are
not affected, because they contain the run's id and have one writer.
"""

import contextlib
import errno
import io
import tempfile
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import IO, Any, BinaryIO
from uuid import UUID

from derive.errors import ConfigurationError, HolocronError, LakeConflict, LakeFileMissing, LakeUnavailable
from derive.lake_stores.identity import IDENTITY_NAME, WHAT_TO_DO, decode_identity
from derive.lake_stores.store import Entry, SpoolFile, describe_unavailable

SERVED_BY = {
    "memory": ("fsspec", None),
    "s3": ("s3fs", "s3"),
    "s3a": ("s3fs", "s3"),
    "abfs": ("adlfs", "azure"),
    "abfss": ("adlfs", "azure"),
    "az": ("adlfs", "azure"),
}
"""URL scheme to the package it needs and this project's extra that installs the package."""

# What s3fs raises for 412 (the condition failed, unless the store says which) and 409 (a concurrent put).
_LOST_THE_RACE = frozenset({errno.EINVAL, errno.EBUSY})
_SPOOL_MEMORY_BYTES = 1 << 20
_TIMES_OF_CHANGE = ("LastModified", "last_modified", "created")
"""Where the packages tell when an object was written; ``created`` is that of fsspec's memory."""
_PROBE_NAME = ".probe"


class ObjectStore:
    """A prefix of an object store. Thread-safe."""

    def __init__(self, url: str, *, shown: str) -> None:
        """Open the store; ``shown`` is the URL without its secrets. Raises ConfigurationError."""
        scheme = url.split("://", 1)[0].lower()
        package, extra = SERVED_BY[scheme]
        # Imported here so that a worker with a local folder does not load it.
        from fsspec.core import url_to_fs

        try:
            self._fs: Any
            self._fs, root = url_to_fs(url, use_listings_cache=False)
        except ImportError as error:
            raise ConfigurationError(
                f"LAKE_URL={shown} needs the package {package}: pip install 'holocron[{extra}]'"
            ) from error
        except ValueError as error:
            raise ConfigurationError(f"LAKE_URL={shown} is not understood by the package {package}") from error
        self._root = root.rstrip("/")
        self._shown = shown
        self._lake_id: UUID | None = None
        self._in_memory = scheme == "memory"
        self._one_writer: contextlib.AbstractContextManager[Any] = (
            threading.Lock() if self._in_memory else contextlib.nullcontext()
        )

    def put(
        self,
        folder: str,
        files: Mapping[str, bytes],
        *,
        spooled: SpoolFile | None = None,
        last: Mapping[str, bytes] | None = None,
    ) -> None:
        """As ``Store.put``; a completed put is durable."""
        if isinstance(spooled, ObjectSpool):
            self._put(spooled.uri, spooled.take())
        for name, data in {**files, **(last or {})}.items():
            self._put(f"{folder}/{name}" if folder else name, data)

    def _put(self, uri: str, data: bytes) -> None:
        path = self._path(uri)
        with self._unavailable_at(uri), self._one_writer:
            if not self._fs.exists(path):
                try:
                    self._fs.pipe_file(path, data, mode="create")
                except OSError as error:
                    if error.errno not in _LOST_THE_RACE and not isinstance(error, FileExistsError):
                        raise
                else:
                    return
            if not self._holds(path, data):
                raise LakeConflict(f"{uri} is in the lake with other bytes; they stay")

    def _holds(self, path: str, data: bytes) -> bool:
        try:
            return bool(self._fs.cat_file(path) == data)
        except FileNotFoundError:
            return False

    def spool(self, folder: str, name: str) -> "ObjectSpool":
        """As ``Store.spool``; the bytes are buffered locally, since an object cannot grow."""
        return ObjectSpool(f"{folder}/{name}")

    def read_unfinished(self, folder: str, name: str, *, max_bytes: int) -> None:  # noqa: ARG002 (as the local store)
        """As ``Store.read_unfinished``: an object appears whole."""
        return

    def open_file(self, uri: str) -> BinaryIO:
        """As ``Store.open_file``."""
        with self.reading(uri):
            # S3 would open a prefix as an empty file.
            if self._fs.info(self._path(uri))["type"] != "file":
                raise LakeFileMissing(f"{uri} in the lake is a folder")
            if self._in_memory:
                # fsspec returns the one stored stream, whose position all readers would share.
                return io.BytesIO(self._fs.cat_file(self._path(uri)))
            stream: BinaryIO = self._fs.open(self._path(uri), "rb")
            return stream

    def open_folder(self, folder: str) -> "ObjectFolder":
        """As ``Store.open_folder``; a prefix cannot be held open."""
        return ObjectFolder(self, folder)

    def entries(self, folder: str) -> list[Entry]:
        """Return the entries below a prefix, as ``FolderReader.entries`` does."""
        path = self._path(folder)
        with self.reading(folder):
            found = self._fs.ls(path, detail=True)
        entries = [
            _entry_of(info)
            for info in found
            # Some stores list a folder as an empty object with the folder's own name.
            if info["name"].strip("/") != path.strip("/")
        ]
        return sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)

    def entry(self, uri: str) -> Entry:
        """Return the entry of one object; raises as ``Store.open_file``."""
        with self.reading(uri):
            return _entry_of(self._fs.info(self._path(uri)))

    def delete_folder(self, folder: str) -> None:
        """As ``Store.delete_folder``."""
        with contextlib.suppress(LakeFileMissing), self.reading(folder):
            self._fs.rm(self._path(folder), recursive=True)

    def require(self, lake_id: UUID) -> None:
        """As ``Store.require``."""
        self._lake_id = lake_id

    def probe(self) -> None:
        """As ``Store.probe``, but leaves one small object, so that no right to delete is needed."""
        with self._unavailable_at():
            if self._lake_id is not None and self._read_lake_id() != self._lake_id:
                raise LakeUnavailable(f"The lake at {self._shown} cannot be used: it is another lake; {WHAT_TO_DO}.")
            self._fs.pipe_file(self._path(_PROBE_NAME), b"writable\n")

    def _read_lake_id(self) -> UUID | None:
        try:
            return decode_identity(self._fs.cat_file(self._path(IDENTITY_NAME)))
        except FileNotFoundError:
            return None

    def _path(self, uri: str) -> str:
        return f"{self._root}/{uri}" if uri else self._root

    @contextlib.contextmanager
    def reading(self, uri: str) -> Iterator[None]:
        """As ``Store.reading``."""
        with self._unavailable_at(uri):
            try:
                yield
            except (FileNotFoundError, IsADirectoryError) as error:
                raise LakeFileMissing(f"{uri} is not in the lake") from error

    @contextlib.contextmanager
    def _unavailable_at(self, uri: str = "") -> Iterator[None]:
        """Map the errors of the store's package."""
        try:
            yield
        except HolocronError:
            raise
        except Exception as error:
            # Each package raises its vendor's own errors, which have no other base class in common.
            raise describe_unavailable(f"{self._shown}/{uri}".rstrip("/"), error) from error


def _entry_of(info: dict[str, Any]) -> Entry:
    name = info["name"].rstrip("/").rsplit("/", 1)[-1]
    if info["type"] == "directory":
        return Entry(name, is_folder=True, byte_count=0)
    size = int(info["size"])
    changed = next((info[key] for key in _TIMES_OF_CHANGE if info.get(key)), None)
    changed = changed.timestamp() if isinstance(changed, datetime) else changed
    tag = info.get("ETag") or info.get("etag") or (f"{size}-{changed}" if changed else None)
    return Entry(name, is_folder=False, byte_count=size, version=tag and str(tag).strip('"')[:200])


class ObjectFolder:
    """A ``FolderReader`` whose files are objects, opened by their full names."""

    def __init__(self, store: ObjectStore, folder: str) -> None:
        self._store = store
        self._folder = folder

    def entries(self) -> list[Entry]:
        """As ``FolderReader.entries``."""
        return self._store.entries(self._folder)

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """As ``FolderReader.read``."""
        uri = f"{self._folder}/{name}"
        with self._store.reading(uri), self._store.open_file(uri) as stream:
            return stream.read(max_bytes)

    def open_file(self, name: str) -> BinaryIO:
        """As ``FolderReader.open_file``."""
        return self._store.open_file(f"{self._folder}/{name}")

    def close(self) -> None:
        """Do nothing: nothing is held open."""


class ObjectSpool:
    """Bytes buffered in memory, or in an unnamed local file beyond a megabyte."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        # Outlives this call; closed by ``abandon``.
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_SPOOL_MEMORY_BYTES)  # noqa: SIM115

    def write(self, data: bytes) -> None:
        """As ``SpoolFile.write``."""
        try:
            self._file.write(data)
        except OSError as error:
            raise describe_unavailable(tempfile.gettempdir(), error) from error

    def take(self) -> bytes:
        """Return all written bytes."""
        self._file.seek(0)
        return self._file.read()

    def abandon(self) -> None:
        """As ``SpoolFile.abandon``."""
        with contextlib.suppress(OSError):
            self._file.close()
