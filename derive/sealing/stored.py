"""The stored chain: rows of ``llm.seal`` and documents in the lake, merged by number."""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from derive.errors import LakeError
from derive.lake import Lake
from derive.models import Seal
from derive.sealing.document import MAX_DOCUMENT_BYTES, SEALS_FOLDER
from derive.sql.reading import reading

BATCH_SEALS = 200
_NAME = re.compile(r"([0-9]{12})\.json")


@dataclass(frozen=True, slots=True)
class ChainLink:
    """One seal: its row, and its files in the lake (normally one)."""

    seal_seq: int
    row: Any | None
    uris: tuple[str, ...]


def links(lake: Lake) -> Iterator[ChainLink]:
    """Yield every seal in SQL or the lake, by number. Raises LakeUnavailable, QueueError.

    Keeps all file names in memory: some dozen bytes per seal.
    """
    uris: dict[int, list[str]] = {}
    for uri, seal_seq in _files(lake, SEALS_FOLDER, levels=4):
        uris.setdefault(seal_seq, []).append(uri)
    in_lake = deque(sorted(uris))
    for row in _rows():
        # Seals that only the lake has come in their place.
        while in_lake and in_lake[0] < row.seal_seq:
            seal_seq = in_lake.popleft()
            yield ChainLink(seal_seq, None, tuple(uris[seal_seq]))
        if in_lake and in_lake[0] == row.seal_seq:
            in_lake.popleft()
        yield ChainLink(row.seal_seq, row, tuple(uris.get(row.seal_seq, ())))
    for seal_seq in in_lake:
        yield ChainLink(seal_seq, None, tuple(uris[seal_seq]))


def read_document(lake: Lake, uri: str) -> bytes | str:
    """Return a document's bytes, or why they cannot be read; raises LakeUnavailable."""
    try:
        return lake.read(uri, max_bytes=MAX_DOCUMENT_BYTES)
    except LakeError as error:
        return str(error)


def _files(lake: Lake, folder: str, *, levels: int) -> Iterator[tuple[str, int]]:
    for entry in lake.list_folder(folder):
        uri = f"{folder}/{entry.name}"
        name = _NAME.fullmatch(entry.name)
        if levels > 1 and entry.is_folder:
            yield from _files(lake, uri, levels=levels - 1)
        elif levels == 1 and not entry.is_folder and name:
            yield uri, int(name[1])


def _rows() -> Iterator[Any]:
    after = 0
    while True:
        rows = Seal.objects.filter(seal_seq__gt=after).order_by("seal_seq")
        batch = reading(lambda rows=rows: list(rows[:BATCH_SEALS]))  # type: ignore[misc]  # bound early
        if not batch:
            return
        yield from batch
        after = batch[-1].seal_seq
