"""The files of one run, each read once: hashed, held against what was recorded, and kept when it is to be looked into.

A file that is not what was recorded is one finding and is built on no further.
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
from derive.verify.rows import Recorded, RunFolder

MAX_LOOKED_INTO_BYTES = 32 * 1024 * 1024
"""Twice the longest answer that a worker takes. A larger file is hashed and not looked into, which is said."""

_LARGE_BYTES = 2 * 1024 * 1024
_one_large_run = threading.Lock()
"""Parsed, a file takes many times its bytes: of the runs with large files one is looked into at a time."""


class NotJson(Exception):
    """A file is not strict JSON in UTF-8; the message says why, without what stands there."""


@contextmanager
def bounded(folder: RunFolder) -> Iterator[None]:
    """Hold back runs with large files, so that memory is bounded whatever the runs hold."""
    if sum(min(file.byte_count, MAX_LOOKED_INTO_BYTES) for file in folder.files) > _LARGE_BYTES:
        with _one_large_run:
            yield
    else:
        yield


def read_whole_files(folder: RunFolder, opened: OpenFolder, findings: Findings) -> tuple[Mapping[str, bytes], int]:
    """Hash every file; return those that are as recorded, by name, and how many bytes were read.

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


def _read(file: Recorded, opened: OpenFolder) -> tuple[bytes | None, str, int]:
    """Return a file's bytes (None when they are too many to be looked into), its SHA-256 and its size."""
    if file.byte_count <= MAX_LOOKED_INTO_BYTES:
        try:
            # Bounded by the size recorded, so that no more is allocated.
            data = opened.read(file.name, max_bytes=file.byte_count)
        except LakeFileTooLarge:
            pass  # it grew since it was listed: hashed below, and found to be another
        else:
            return data, hashlib.sha256(data).hexdigest(), len(data)
    digest, byte_count = opened.hash_file(file.name)
    return None, digest, byte_count


def read_json(data: bytes) -> Any:
    """Return the JSON value of a file's bytes; raise NotJson."""
    try:
        return parse_json(data.decode())
    except UnicodeDecodeError:
        raise NotJson("is not UTF-8") from None
    except ValueError as error:
        raise NotJson(f"is not JSON ({type(error).__name__})") from None


def read_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object of a file's bytes; raise NotJson."""
    value = read_json(data)
    if not isinstance(value, dict):
        raise NotJson("is not a JSON object")
    return value


def member(value: Any, *path: str | int) -> Any:
    """Return what stands at a path in a JSON value; None when there is no such place."""
    for part in path:
        if isinstance(part, str) and isinstance(value, dict):
            value = value.get(part)
        elif isinstance(part, int) and isinstance(value, list) and 0 <= part < len(value):
            value = value[part]
        else:
            return None
    return value


def first_difference(one: str, other: str) -> int:
    """Return the place of the first character in which two texts differ, counted from 1."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other))) + 1
