"""The files of a tree that a source reads: which, by what address, and what keeps one from being a subject."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from derive.errors import SourceError
from derive.sources.contract import MAX_ENTITY_ID_CHARACTERS, Unreadable
from derive.sources.file_texts import ending_of
from derive.sources.file_tree import FileTree, FoundFile
from derive.sources.globs import compile_globs
from derive.sources.row_values import MAX_ADDRESS_CHARACTERS, quoted


@dataclass(frozen=True, slots=True)
class AddressedFile:
    """A file that can be read, with its URI."""

    path: str
    address: str
    change_token: str | None


class MatchingFiles:
    """The files of a tree that match a source's globs. ``endings`` are those that the source reads."""

    def __init__(self, tree: FileTree, globs: Sequence[str], endings: frozenset[str]) -> None:
        self.tree = tree
        self._matches = compile_globs(globs)
        self._endings = endings

    def __iter__(self) -> Iterator[AddressedFile | Unreadable]:
        """Yield every file, and what cannot be one; raise SourceError if the tree cannot be read."""
        for found in self.tree.walk():
            if found.fault is not None or self._matches(found.path):
                address = f"{self.tree.address}/{quoted(found.path)}"
                fault = found.fault or self._fault_of(found, address)
                yield Unreadable(address, fault) if fault else AddressedFile(found.path, address, found.change_token)

    def path_of(self, address: str) -> str:
        """Return the path of a file by its address; raise SourceError if the address is not of this source."""
        path = unquote(address.removeprefix(f"{self.tree.address}/"))
        is_inside = address.startswith(f"{self.tree.address}/") and not any(
            part.startswith(".") or not part for part in path.split("/")
        )
        if not is_inside or not self._matches(path):
            raise SourceError("it is not in this source")
        return path

    def _fault_of(self, found: FoundFile, address: str) -> str | None:
        if len(found.path) > MAX_ENTITY_ID_CHARACTERS:
            return f"its path is longer than {MAX_ENTITY_ID_CHARACTERS} characters: move or rename it"
        if not found.path.isprintable() or found.path != found.path.strip():
            return "its path has a character that cannot be printed, or a blank at an end: rename it"
        if len(address) > MAX_ADDRESS_CHARACTERS:
            return f"its address is longer than {MAX_ADDRESS_CHARACTERS} characters: move or rename it"
        if ending_of(found.path) not in self._endings:
            return f"files of this ending are not read: {', '.join(sorted(self._endings))} are"
        return None
