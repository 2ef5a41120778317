"""A prefix of an object store as a source."""

from collections.abc import Iterator
from uuid import uuid4

import fsspec
import pytest

from derive.errors import SourceError
from derive.sources.contract import Source, SourceSubject, SubjectEvidence, Unreadable
from derive.sources.files import FilesKeys, files_source
from derive.sources.object_tree import open_objects


@pytest.fixture
def prefix() -> Iterator[str]:
    """A prefix of fsspec's memory, of one test alone."""
    name = f"/{uuid4()}"
    yield name
    memory = fsspec.filesystem("memory")
    if memory.exists(name):
        memory.rm(name, recursive=True)


def put(path: str, content: bytes) -> None:
    fsspec.filesystem("memory").pipe_file(path, content)


def source_of(prefix: str, **columns: object) -> Source:
    keys = {"entity_type": "text", "url": "unused", **columns}
    return files_source("objects", FilesKeys.model_validate(keys), open_objects(f"memory:/{prefix}"))


def test_each_object_is_a_subject_with_its_text(prefix: str) -> None:
    for path in ("one.txt", "a/two three.md", "a/.hidden.txt", "a/picture.png"):
        put(f"{prefix}/{path}", path.encode())
    source = source_of(prefix)
    found = list(source.read_all())
    assert [one.subject.entity_id for one in found if isinstance(one, SubjectEvidence)] == ["a/two three.md", "one.txt"]
    first = found[0]
    assert isinstance(first, SubjectEvidence)
    assert first.subject.address == f"memory:/{prefix}/a/two%20three.md"
    assert first.items[0].text == "a/two three.md"
    assert list(source.subjects()) == [one.subject for one in found if isinstance(one, SubjectEvidence)]


def test_the_change_token_changes_with_the_object(prefix: str) -> None:
    put(f"{prefix}/one.txt", b"text")
    (before,) = source_of(prefix).subjects()
    assert isinstance(before, SourceSubject)
    assert before.change_token
    assert list(source_of(prefix).subjects()) == [before]
    put(f"{prefix}/one.txt", b"other text")
    assert list(source_of(prefix).subjects()) != [before]


def test_an_object_that_is_gone_or_unreadable_is_listed(prefix: str) -> None:
    put(f"{prefix}/one.txt", b"caf\xe9")
    put(f"{prefix}/two.txt", b"text")
    source = source_of(prefix)
    subjects = [one for one in source.subjects() if isinstance(one, SourceSubject)]
    fsspec.filesystem("memory").rm(f"{prefix}/two.txt")
    one, two = source.with_evidence(subjects)
    assert isinstance(one, Unreadable)
    assert isinstance(two, Unreadable)
    assert one.reason.startswith("it is not UTF-8")
    assert two.reason == "two.txt is not there"


def test_the_rows_of_an_object_are_subjects(prefix: str) -> None:
    put(f"{prefix}/a.csv", b"id,body\n1,x\n2,y\n")
    source = source_of(prefix, entity="id", text="body")
    assert [one.subject.entity_id for one in source.read_all() if isinstance(one, SubjectEvidence)] == ["1", "2"]


def test_a_prefix_that_is_not_there_is_an_error_of_the_source(prefix: str) -> None:
    with pytest.raises(SourceError):
        list(source_of(prefix).subjects())
