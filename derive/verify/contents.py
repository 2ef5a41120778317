"""A run's files, each read once: hashed, compared with the record, and kept if its contents are checked.

A file that differs from its record is one finding and is not used further.
"""

import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from derive.errors import LakeError, LakeFileMissing, LakeFileTooLarge
from derive.lake_stores.folder import OpenFolder
from derive.strict_types import parse_json
from derive.verify.findings import Check, Findings
from derive.verify.rows import RecordedFile, RunFolder

MAX_LOOKED_INTO_BYTES = 32 * 1024 * 1024
"""Twice the longest answer a worker accepts. Larger files are only hashed, and reported so."""

_LARGE_BYTES = 2 * 1024 * 1024
_one_large_run = threading.Lock()
"""Parsed files take many times their size in memory, so runs with large files are checked one at a time."""


class NotJson(Exception):
    """A file is not strict JSON in UTF-8; the message never repeats its contents."""


@contextmanager
def bounded(folder: RunFolder) -> Iterator[None]:
    """Limits runs with large files, so that memory is bounded."""
    if sum(min(file.byte_count, MAX_LOOKED_INTO_BYTES) for file in folder.files) > _LARGE_BYTES:
        with _one_large_run:
            yield
    else:
        yield


def read_whole_files(folder: RunFolder, opened: OpenFolder, findings: Findings) -> tuple[Mapping[str, bytes], int]:
    """Hash every file; return the unchanged ones by name, and the number of bytes read.

    Raises LakeUnavailable.
    """
    whole: dict[str, bytes] = {}
    bytes_read = 0
    for file in folder.files:
        try:
            data, digest, byte_count = _read(file, opened)
        except LakeFileMissing:
            findings.add(file.name, Check.MISSING, "is not in the lake")
            continue
        except LakeError as error:
            findings.add(file.name, Check.UNREADABLE, str(error))
            continue
        bytes_read += byte_count
        if digest != file.content_sha256:
            findings.add(file.name, Check.BYTES, f"has the SHA-256 {digest}, recorded is {file.content_sha256}")
        elif data is None:
            findings.add(
                file.name, Check.UNREADABLE, f"is larger than {MAX_LOOKED_INTO_BYTES} bytes and was only hashed"
            )
        else:
            whole[file.name] = data
    return whole, bytes_read


def _read(file: RecordedFile, opened: OpenFolder) -> tuple[bytes | None, str, int]:
    """Return a file's bytes (None if it is too large to check), its SHA-256 and its size."""
    if file.byte_count <= MAX_LOOKED_INTO_BYTES:
        try:
            # Limited to the recorded size, so that no more memory is allocated.
            data = opened.read(file.name, max_bytes=file.byte_count)
        except LakeFileTooLarge:
            pass  # it grew since it was listed: hashed below, and found to be another
        else:
            return data, hashlib.sha256(data).hexdigest(), len(data)
    digest, byte_count = opened.hash_file(file.name)
    return None, digest, byte_count


def read_json(data: bytes) -> Any:
    """Parse a file as JSON; raise NotJson."""
    try:
        return parse_json(data.decode())
    except UnicodeDecodeError:
        raise NotJson("is not UTF-8") from None
    except ValueError as error:
        raise NotJson(f"is not JSON ({type(error).__name__})") from None


def read_object(data: bytes) -> dict[str, Any]:
    """Parse a file as a JSON object; raise NotJson."""
    value = read_json(data)
    if not isinstance(value, dict):
        raise NotJson("is not a JSON object")
    return value


def member(value: Any, *path: str | int) -> Any:
    """Return the value at a path in JSON; None if there is none."""
    for part in path:
        if isinstance(part, str) and isinstance(value, dict):
            value = value.get(part)
        elif isinstance(part, int) and isinstance(value, list) and 0 <= part < len(value):
            value = value[part]
        else:
            return None
    return value


def first_difference(one: str, other: str) -> int:
    """Return the position, from 1, of the first character in which two texts differ."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other))) + 1
