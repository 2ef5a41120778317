"""The interface of a store under the lake, and its errors.

Two stores implement it: ``local`` on a folder, ``objects`` on what fsspec reaches.
"""

import errno
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import BinaryIO, NamedTuple, Protocol
from uuid import UUID

from derive.errors import OUT_OF_FILES, LakeUnavailable


class Entry(NamedTuple):
    """One name in a folder. ``byte_count`` is 0 for a folder."""

    name: str
    is_folder: bool
    byte_count: int


class SpoolFile(Protocol):
    """Bytes of a file that is not visible yet."""

    def write(self, data: bytes) -> None:
        """Append the bytes; raise LakeUnavailable."""

    def abandon(self) -> None:
        """Close everything and remove what was written; may be repeated, never raises."""


class FolderReader(Protocol):
    """One folder held open, and read even if its name changes. One thread at a time."""

    def entries(self) -> list[Entry]:
        """Return its entries by name, without hidden ones."""

    def read(self, name: str, *, max_bytes: int) -> bytes:
        """Return the first ``max_bytes`` bytes of a file directly in it, or all; raise as ``Store.open_file``."""

    def open_file(self, name: str) -> BinaryIO:
        """Open a file directly in it; called within ``Store.reading``, which says what is raised."""

    def close(self) -> None:
        """Close the folder; may be repeated."""


class Store(Protocol):
    """The store of the lake's bytes. Paths have passed ``check_uri``; every method may be called from any thread.

    Raises LakeUnavailable when the store as a whole cannot do its work.
    """

    def put(
        self,
        folder: str,
        files: Mapping[str, bytes],
        *,
        spooled: SpoolFile | None = None,
        last: Mapping[str, bytes] | None = None,
    ) -> None:
        """Make the spooled file, then ``files`` in their order, then ``last`` appear in the folder, durably.

        No name is ever visible with part of its bytes. ``last`` appears only when all before it is durable. A name that
        holds the same bytes is left alone; one that holds others raises LakeConflict and keeps them.
        """

    def spool(self, folder: str, name: str) -> SpoolFile:
        """Begin a file that ``put`` makes appear later."""

    def open_file(self, uri: str) -> BinaryIO:
        """Open a file for reading; raise LakeFileMissing, or LakePathRefused when it is no plain file of the lake."""

    def reading(self, uri: str) -> AbstractContextManager[None]:
        """Within it, what goes wrong in reading a stream of ``open_file`` is raised as ``open_file`` raises."""

    def open_folder(self, folder: str) -> FolderReader:
        """Open a folder for reading; raise LakeFileMissing when it is not there, as far as the store can tell."""

    def delete_folder(self, folder: str) -> None:
        """Remove a folder and all in it, following no link out of it; nothing there is fine."""

    def require(self, lake_id: UUID) -> None:
        """Refuse a root whose ``lake.json`` holds another id, or none, and make no root anew; never raises.

        Looked at when the root is another folder than before, at the latest by ``probe``.
        """

    def probe(self) -> None:
        """Write a little and remove it; raise LakeUnavailable saying why it cannot be done and what to do."""


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
    """Turn what a store raised into LakeUnavailable: where, what happened, what to do."""
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        # An object store's errors have no errno.
        number = next((number for kind, number in _NUMBERS.items() if isinstance(error, kind)), None)
    if number is None:
        why = f"{type(error).__name__}; check the store, the network and the credentials"
    else:
        why = _WHAT_TO_DO.get(number) or f"{os.strerror(number)}; check the disk or the mount"
    return LakeUnavailable(f"The lake at {where} cannot be used: {why}.")
