"""A prefix of an object store as a tree of files."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import quote

from derive.errors import ConfigurationError, LakeError, LakeUnavailable, SourceError
from derive.lake_stores.objects import ObjectStore
from derive.lake_stores.urls import open_store
from derive.sources.file_tree import MAX_DEPTH, FoundFile, OpenedFile


class ObjectTree:
    """The objects below a prefix. A change token is the object's ETag, or its size and time where there is none.

    The names of one folder are in memory at a time, as the stores list them.
    """

    def __init__(self, store: ObjectStore, address: str) -> None:
        self._store = store
        self.address = address

    def walk(self) -> Iterator[FoundFile]:
        """As ``FileTree.walk``; by name within each folder."""
        return self._walk("", depth=0)

    @contextmanager
    def open_file(self, path: str) -> Iterator[OpenedFile]:
        """As ``FileTree.open_file``."""
        with _said_of_the_source(), self._store.reading(path):
            found = self._store.entry(path)
            with self._store.open_file(path) as stream:
                yield OpenedFile(
                    stream=stream,
                    change_token=found.version,
                    byte_count=found.byte_count,
                    is_unchanged=lambda: self._store.entry(path) == found,
                )

    def _walk(self, folder: str, *, depth: int) -> Iterator[FoundFile]:
        with _said_of_the_source():
            entries = self._store.entries(folder)
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if not entry.is_folder:
                yield FoundFile(path, entry.version)
            elif depth == MAX_DEPTH:
                yield FoundFile(path, fault=f"it lies deeper than {MAX_DEPTH} folders: move it up")
            else:
                yield from self._walk(path, depth=depth + 1)


def open_objects(url: str) -> ObjectTree:
    """Return the tree at the URL of an object store without accessing it; raise ValueError."""
    if re.search(r"//[^/]*@|[?#]|\s", url) and not re.fullmatch(r"abfss?://[^/:@]+@[^/?#\s]+(/[^?#\s]*)?", url):
        raise ValueError("url: write it without user, password, query and blanks; the environment has credentials")
    try:
        store = open_store(url)
    except ConfigurationError as error:
        raise ValueError(f"url: {str(error).removeprefix('LAKE_URL=')}") from None
    if not isinstance(store, ObjectStore):
        raise ValueError("url: write s3://bucket/prefix or abfs://container/prefix; name a local folder by folder")
    return ObjectTree(store, quote(url.rstrip("/"), safe="/:@"))


@contextmanager
def _said_of_the_source() -> Iterator[None]:
    try:
        yield
    except (LakeError, LakeUnavailable) as error:
        message = str(error).removeprefix("The lake at ").replace(" in the lake", " there")
        raise SourceError(message) from error
