"""The source ``files``: each file of a folder is a subject, or each row of its CSV and JSONL files.

For example::

    [[source]]
    name = "contracts"
    kind = "files"
    entity_type = "contract"
    folder = "contracts"            # relative to the file of sources; or url = "s3://…", or lake = "folder/in/lake"
    globs = ["**/*.txt", "**/*.pdf"] # optional: by default every file of an ending that can be read

A file's entity is its path relative to the folder. With ``entity`` and ``text``, which name columns, the subjects are
rows: see ``row_files``.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Self
from urllib.request import url2pathname

from pydantic import BeforeValidator, Field, model_validator

from derive.errors import SourceError
from derive.evidence.references import EvidenceRef, check_lake_uri
from derive.sources.contract import SkippedSubject, Source, SourceSubject, SubjectEvidence, Unreadable
from derive.sources.declaration import EntityType, SourceDeclaration, as_list
from derive.sources.document_reader import DOCUMENT_ENDINGS, DocumentReader
from derive.sources.file_paths import MatchingFiles
from derive.sources.file_texts import PLAIN_ENDINGS, read_text, token_with_tool
from derive.sources.file_tree import FileTree, LocalTree
from derive.sources.globs import Glob
from derive.sources.object_tree import open_objects
from derive.sources.row_files import ROW_ENDINGS, RowColumns, RowFilesSource
from derive.strict_types import Frozen

_MOST_COLUMNS = 20
_Place = Annotated[str, Field(min_length=1, max_length=1000)]
_FileColumn = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^\S(.*\S)?$")]


class FilesKeys(Frozen):
    """The keys of a source of kind ``files``."""

    entity_type: EntityType
    folder: _Place | None = None
    url: _Place | None = None
    lake: _Place | None = None
    globs: Annotated[tuple[Glob, ...], Field(min_length=1, max_length=100)] | None = None
    entity: _FileColumn | None = None
    text: (
        Annotated[tuple[_FileColumn, ...], BeforeValidator(as_list), Field(min_length=1, max_length=_MOST_COLUMNS)]
        | None
    ) = None
    uri: _FileColumn | None = None

    @model_validator(mode="after")
    def _names_columns_or_none(self) -> Self:
        if (self.entity is None) != (self.text is None) or (self.uri is not None and self.text is None):
            raise ValueError("write entity and text together, the columns of rows, or neither for whole files")
        return self

    @model_validator(mode="after")
    def _is_in_one_place(self) -> Self:
        if [self.folder, self.url, self.lake].count(None) != 2:
            raise ValueError("write one of folder, url (s3://, abfs://) and lake (a folder of the lake)")
        if self.lake is not None:
            check_lake_uri(self.lake)
        return self


class FilesSource(Source):
    """The files of a tree that match its globs."""

    kind = "files"

    def __init__(self, name: str, entity_type: str, files: MatchingFiles) -> None:
        self.name = name
        self._entity_type = entity_type
        self._files = files

    def subjects(self) -> Iterator[SourceSubject | Unreadable | SkippedSubject]:
        """As ``Source.subjects``."""
        for found in self._files:
            if isinstance(found, Unreadable):
                yield found
            else:
                token = token_with_tool(found.change_token, found.path)
                yield SourceSubject(self._entity_type, found.path, token, found.address)

    def with_evidence(
        self, subjects: Iterable[SourceSubject]
    ) -> Iterator[SubjectEvidence | Unreadable | SkippedSubject]:
        """As ``Source.with_evidence``."""
        return self._read_each(subjects)

    def read_all(self) -> Iterator[SubjectEvidence | Unreadable | SkippedSubject]:
        """As ``Source.read_all``."""
        return self._read_each(self.subjects())

    def _read_each(
        self, found: Iterable[SourceSubject | Unreadable | SkippedSubject]
    ) -> Iterator[SubjectEvidence | Unreadable | SkippedSubject]:
        with DocumentReader() as reader:
            for subject in found:
                if not isinstance(subject, SourceSubject):
                    yield subject
                    continue
                try:
                    yield self._read(subject, reader)
                except SourceError as error:
                    yield Unreadable(subject.address, str(error), subject)

    def _read(self, subject: SourceSubject, reader: DocumentReader) -> SubjectEvidence:
        path = self._files.path_of(subject.address)
        with self._files.tree.open_file(path) as file:
            text, extraction = read_text(file, path, reader)
            token = token_with_tool(file.change_token, path)
        item = EvidenceRef(evidence_id="document", source_uri=subject.address, text=text, extraction=extraction)
        return SubjectEvidence(SourceSubject(subject.entity_type, subject.entity_id, token, subject.address), (item,))


def open_files(declaration: SourceDeclaration) -> Source:
    """Return the declared source; raises as ``OpenSource``."""
    keys = FilesKeys.model_validate(declaration.keys)
    return files_source(declaration.name, keys, _tree(keys, declaration))


def _tree(keys: FilesKeys, declaration: SourceDeclaration) -> FileTree:
    if keys.folder is not None:
        return LocalTree(declaration.folder / Path(keys.folder).expanduser())
    if keys.url is not None:
        return open_objects(keys.url)
    lake = declaration.lake_url.rstrip("/")
    if "://" in lake and not lake.startswith("file://"):
        return open_objects(f"{lake}/{keys.lake}")
    return LocalTree(Path(url2pathname(lake.removeprefix("file://"))) / (keys.lake or ""))


def files_source(name: str, keys: FilesKeys, tree: FileTree) -> Source:
    """Return the source of a tree's files, or of their rows if the keys name columns."""
    endings = ROW_ENDINGS if keys.text else PLAIN_ENDINGS | DOCUMENT_ENDINGS
    globs = keys.globs or tuple(f"**/*.{ending}" for ending in sorted(endings))
    files = MatchingFiles(tree, globs, endings)
    if keys.entity is None or keys.text is None:
        return FilesSource(name, keys.entity_type, files)
    return RowFilesSource(name, keys.entity_type, files, RowColumns(keys.entity, keys.text, keys.uri))
