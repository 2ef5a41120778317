"""A tree of files that a source reads, and the local folder as one."""

import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import quote

from derive.errors import LakeConflict, LakePathRefused, SourceError
from derive.lake_stores.directory import Directory, open_directory

MAX_DEPTH = 64
"""Folders below one another; each holds a descriptor open while it is walked."""
_SETTLED_SECONDS = 2.0
"""Within this time of a write, a second one might leave the same size and time of change."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One name in a tree that is not a folder to walk into. ``fault`` says why it cannot be read, if so.

    ``change_token`` is None if the file was written so lately that a further change might not show.
    """

    path: str
    change_token: str | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class OpenedFile:
    """An open file. ``is_unchanged`` looks again whether it is still the one that was opened."""

    stream: BinaryIO
    change_token: str | None
    byte_count: int
    is_unchanged: Callable[[], bool]


class FileTree(Protocol):
    """Files below one root, by their paths relative to it. Hidden names, those that begin with a dot, are left out."""

    address: str
    """The root's URI without secrets and without a slash at its end."""

    def walk(self) -> Iterator[FoundFile]:
        """Yield every file; raise SourceError if the root cannot be read."""

    def open_file(self, path: str) -> AbstractContextManager[OpenedFile]:
        """Open a file; raise SourceError with the reason if it is gone or cannot be read."""


class LocalTree:
    """A local folder. Links are never followed, so that nothing outside it is read and no loop is walked."""

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._clock = clock
        self.address = "file://" + quote(folder.absolute().as_posix())

    def walk(self) -> Iterator[FoundFile]:
        """As ``FileTree.walk``; in constant memory, in the file system's order."""
        yield from self._walk(self._open_root(), "", depth=0)

    @contextmanager
    def open_file(self, path: str) -> Iterator[OpenedFile]:
        """As ``FileTree.open_file``."""
        with ExitStack() as stack:
            try:
                stream = self._open(path, stack)
            except (LakePathRefused, LakeConflict) as error:
                raise SourceError("it is a link or no plain file, and those are not read") from error
            except OSError as error:
                raise SourceError(_in_words(error)) from error
            facts = os.fstat(stream.fileno())
            yield OpenedFile(
                stream=stream,
                change_token=self._token(facts),
                byte_count=facts.st_size,
                is_unchanged=lambda: _stamp(os.fstat(stream.fileno())) == _stamp(facts),
            )

    def _open(self, path: str, stack: ExitStack) -> BinaryIO:
        directory = stack.enter_context(self._open_root())
        *folders, name = path.split("/")
        for folder in folders:
            directory = stack.enter_context(directory.child(folder, create=False))
        return stack.enter_context(os.fdopen(directory.open_file(name), "rb"))

    def _open_root(self) -> Directory:
        try:
            # The root itself may be a link: the operator named it.
            return open_directory(os.path.realpath(self._folder))
        except OSError as error:
            raise SourceError(f"the folder {self._folder} cannot be read: {_in_words(error)}") from error

    def _walk(self, directory: Directory, prefix: str, *, depth: int) -> Iterator[FoundFile]:
        with directory:
            entries = directory.stream()
            while True:
                try:
                    name, facts = next(entries)
                except StopIteration:
                    return
                except OSError as error:
                    yield FoundFile(prefix or ".", fault=f"the folder cannot be listed: {_in_words(error)}")
                    return
                if not name.startswith("."):
                    yield from self._found(directory, prefix + name, name, facts, depth=depth)

    def _found(
        self, directory: Directory, path: str, name: str, facts: os.stat_result, *, depth: int
    ) -> Iterator[FoundFile]:
        if fault := _fault_of(path, facts):
            yield FoundFile(path.encode(errors="replace").decode(), fault=fault)
        elif not stat.S_ISDIR(facts.st_mode):
            yield FoundFile(path, self._token(facts))
        elif depth == MAX_DEPTH:
            yield FoundFile(path, fault=f"it lies deeper than {MAX_DEPTH} folders: move it up")
        else:
            try:
                child = directory.child(name, create=False)
            except (OSError, LakePathRefused, LakeConflict) as error:
                words = _in_words(error) if isinstance(error, OSError) else "it changed while the folder was walked"
                yield FoundFile(path, fault=f"the folder cannot be read: {words}")
            else:
                yield from self._walk(child, f"{path}/", depth=depth + 1)

    def _token(self, facts: os.stat_result) -> str | None:
        is_settled = abs(self._clock() - facts.st_mtime) > _SETTLED_SECONDS
        return _stamp(facts) if is_settled else None


def _fault_of(path: str, facts: os.stat_result) -> str | None:
    if stat.S_ISLNK(facts.st_mode):
        return "it is a symbolic link, and none is followed: put the file itself there"
    if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
        return "it is no plain file"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8: rename it"
    return None


def _stamp(facts: os.stat_result) -> str:
    return f"{facts.st_size}-{facts.st_mtime_ns}"


def _in_words(error: OSError) -> str:
    return error.strerror or type(error).__name__
