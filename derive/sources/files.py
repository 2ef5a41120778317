"""The source ``files``: each file of a folder is a subject.

For example::

    [[source]]
    name = "contracts"
    kind = "files"
    entity_type = "contract"
    folder = "contracts"            # relative to the file of sources
    globs = ["**/*.txt", "**/*.md"] # optional: by default every file of an ending that can be read

A file's entity is its path relative to the folder.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, unquote

from pydantic import Field

from derive.errors import SourceError
from derive.evidence.references import EvidenceRef
from derive.sources.contract import (
    MAX_ENTITY_ID_CHARACTERS,
    SkippedSubject,
    Source,
    SourceSubject,
    SubjectEvidence,
    Unreadable,
)
from derive.sources.declaration import EntityType, SourceDeclaration
from derive.sources.file_texts import MAX_PLAIN_BYTES, PLAIN_ENDINGS, ending_of, plain_text, read_bytes
from derive.sources.file_tree import FileTree, FoundFile, LocalTree
from derive.sources.globs import Glob, compile_globs
from derive.strict_types import Frozen

_MAX_ADDRESS_CHARACTERS = 2000
"""The longest ``source_uri`` of evidence."""


class FilesKeys(Frozen):
    """The keys of a source of kind ``files``."""

    entity_type: EntityType
    folder: Annotated[str, Field(min_length=1, max_length=1000)]
    globs: Annotated[tuple[Glob, ...], Field(min_length=1, max_length=100)] = tuple(
        f"**/*.{ending}" for ending in sorted(PLAIN_ENDINGS)
    )


class FilesSource(Source):
    """The files of a tree that match its globs."""

    kind = "files"

    def __init__(self, name: str, keys: FilesKeys, tree: FileTree) -> None:
        self.name = name
        self._entity_type = keys.entity_type
        self._matches = compile_globs(keys.globs)
        self._tree = tree

    def subjects(self) -> Iterator[SourceSubject | Unreadable | SkippedSubject]:
        """As ``Source.subjects``."""
        for found in self._tree.walk():
            if found.fault is not None or self._matches(found.path):
                yield self._subject(found)

    def with_evidence(
        self, subjects: Iterable[SourceSubject]
    ) -> Iterator[SubjectEvidence | Unreadable | SkippedSubject]:
        """As ``Source.with_evidence``."""
        for subject in subjects:
            try:
                yield self._read(subject)
            except SourceError as error:
                yield Unreadable(subject.address, str(error), subject)

    def _subject(self, found: FoundFile) -> SourceSubject | Unreadable:
        address = f"{self._tree.address}/{quote(found.path)}"
        fault = found.fault
        if fault is None and len(found.path) > MAX_ENTITY_ID_CHARACTERS:
            fault = f"its path is longer than {MAX_ENTITY_ID_CHARACTERS} characters: move or rename it"
        if fault is None and (not found.path.isprintable() or found.path != found.path.strip()):
            fault = "its path has a character that cannot be printed, or a blank at an end: rename it"
        if fault is None and len(address) > _MAX_ADDRESS_CHARACTERS:
            fault = f"its address is longer than {_MAX_ADDRESS_CHARACTERS} characters: move or rename it"
        if fault is None and ending_of(found.path) not in PLAIN_ENDINGS:
            fault = f"files of this ending are not read: {', '.join(sorted(PLAIN_ENDINGS))} are"
        if fault is not None:
            return Unreadable(address, fault)
        return SourceSubject(self._entity_type, found.path, found.change_token, address)

    def _read(self, subject: SourceSubject) -> SubjectEvidence:
        with self._tree.open_file(self._path_of(subject)) as file:
            text = plain_text(read_bytes(file, max_bytes=MAX_PLAIN_BYTES))
            read = SourceSubject(subject.entity_type, subject.entity_id, file.change_token, subject.address)
        return SubjectEvidence(read, (EvidenceRef(evidence_id="document", source_uri=subject.address, text=text),))

    def _path_of(self, subject: SourceSubject) -> str:
        path = unquote(subject.address.removeprefix(f"{self._tree.address}/"))
        is_inside = subject.address.startswith(f"{self._tree.address}/") and not any(
            part.startswith(".") or not part for part in path.split("/")
        )
        if not is_inside or not self._matches(path):
            raise SourceError("it is not in this source")
        return path


def open_files(declaration: SourceDeclaration) -> FilesSource:
    """Return the declared source; raises as ``OpenSource``."""
    keys = FilesKeys.model_validate(declaration.keys)
    folder = declaration.folder / Path(keys.folder).expanduser()
    return FilesSource(declaration.name, keys, LocalTree(folder))
