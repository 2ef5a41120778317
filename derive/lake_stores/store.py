"""The interface of the lake's stores, and its errors.

Two stores implement it: ``local`` for a folder, ``objects`` for fsspec's object stores.
"""

import errno
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import BinaryIO, NamedTuple, Protocol
from uuid import UUID

from derive.errors import OUT_OF_FILES, LakeUnavailable


class Entry(NamedTuple):
    """One name in a folder. ``byte_count`` is 0 for a folder.

    ``version`` changes when an object does: its ETag, or its size and time; None for folders and local files.
    """

    name: str
    is_folder: bool
    byte_count: int
    version: str | None = None


class SpoolFile(Protocol):
    """A file that is being written and is not yet visible."""

    def write(self, data: bytes) -> None:
        """Append the bytes; raise LakeUnavailable."""

    def abandon(self) -> None:
        """Close the file and remove what was written; may be repeated, never raises."""


class FolderReader(Protocol):
    """One open folder, which stays readable even if its path changes. Not thread-safe."""

    def entries(self) -> list[Entry]:
        """Return the entries by name, without hidden ones."""

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return at most the first ``max_bytes`` bytes of a file in this folder; raises as ``Store.open_file``."""

    def open_file(self, name: str) -> BinaryIO:
        """Open a file in this folder; call it within ``Store.reading``, which maps the errors."""

    def close(self) -> None:
        """Close the folder; may be repeated."""


class Store(Protocol):
    """The store of the lake's bytes. Paths must have passed ``check_uri``; every method is thread-safe.

    Raises LakeUnavailable if the store as a whole does not work.
    """

    def put(
        self,
        folder: str,
        files: Mapping[str, bytes],
        *,
        spooled: SpoolFile | None = None,
        last: Mapping[str, bytes] | None = None,
    ) -> None:
        """Write the spooled file, then ``files`` in order, then ``last`` to the folder, durably.

        A file is never visible with only part of its bytes. ``last`` appears only when all others are durable. An
        existing file with the same bytes is left alone; one with other bytes is kept and raises LakeConflict.
        """

    def spool(self, folder: str, name: str) -> SpoolFile:
        """Begin a file that a later ``put`` makes visible."""

    def read_unfinished(self, folder: str, name: str, *, max_bytes: int) -> tuple[bytes, int] | None:
        """Return the last bytes, at most ``max_bytes``, and the size of a file that another process is spooling.

        None if there is no such file, or if the store cannot show one before it is finished.
        """

    def open_file(self, uri: str) -> BinaryIO:
        """Open a file for reading; raise LakeFileMissing, or LakePathRefused if it is not a regular file."""

    def reading(self, uri: str) -> AbstractContextManager[None]:
        """Map errors of reading a stream from ``open_file``, within the block, to the errors of ``open_file``."""

    def open_folder(self, folder: str) -> FolderReader:
        """Open a folder for reading; raise LakeFileMissing if it does not exist, as far as the store can tell."""

    def delete_folder(self, folder: str) -> None:
        """Remove a folder and its content without following links; do nothing if it does not exist."""

    def require(self, lake_id: UUID) -> None:
        """Refuse from now on a root whose ``lake.json`` has another id or none, and never create a root; never raises.

        The id is checked when the root is a different folder than before, at the latest by ``probe``.
        """

    def probe(self) -> None:
        """Write and remove a small file; raise LakeUnavailable with the reason and what to do if that fails."""


_WHAT_TO_DO = {
    errno.EROFS: "it is read-only; mount it writable",
    errno.EACCES: "permission denied; give this account the right to read and write there",
    errno.EPERM: "not permitted; give this account the right to read and write there",
    errno.ENOSPC: "the disk is full; make room",
    errno.EDQUOT: "the quota is used up; raise it or make room",
    errno.EIO: "input/output error; check the disk or the mount",
    errno.ENOENT: "it is not there; mount it or create it",
    errno.ENOTDIR: "it is not a folder; check LAKE_URL",
    errno.ELOOP: "a symbolic link is in its place; put the folder itself there",
    errno.ESTALE: "the network mount went stale; mount it again",
    errno.ETIMEDOUT: "no answer in time; check the store and the network",
    errno.EMFILE: OUT_OF_FILES,
    errno.ENFILE: "too many open files on this machine; raise the system's limit",
}


_NUMBERS = {FileNotFoundError: errno.ENOENT, PermissionError: errno.EACCES, TimeoutError: errno.ETIMEDOUT}


def describe_unavailable(where: str, error: Exception) -> LakeUnavailable:
    """Return a store's error as LakeUnavailable, which says where, what happened and what to do."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        # Errors of an object store have no errno.
        number = next((number for kind, number in _NUMBERS.items() if isinstance(error, kind)), None)
    if number is None:
        why = f"{type(error).__name__}; check the store, the network and the credentials"
    else:
        why = _WHAT_TO_DO.get(number) or f"{os.strerror(number)}; check the disk or the mount"
    return LakeUnavailable(f"The lake at {where} cannot be used: {why}.")
