"""Rules for names of lake files, which are the same for every store so that a name means the same on each.

A ``lake_uri`` is relative to the lake's root, with parts joined by ``/``. Anything is refused that could leave the root
or mean a different file on another store: ``..``, absolute paths, drives, backslashes, percent-encoding, control
characters, Windows device names, and white space or dots at either end. Names that begin with a dot are reserved for
files still being written.
"""

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from uuid import UUID

from derive.errors import LakePathRefused

MAX_NAME_BYTES = 200
"""UTF-8 bytes of one part; the hidden name of a file being written still fits into a file system's limit of 255."""
MAX_URI_BYTES = 1_000
"""UTF-8 bytes of a whole ``lake_uri``; object stores allow 1,024 including the lake's prefix."""

RUNS_FOLDER = "llm_runs"

_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_FORBIDDEN = re.compile(r'[\\<>:"|?*]')
_PERCENT_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")
# Windows opens these devices whatever follows the first dot, and accepts superscript digits in them.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE)
_RUN_FOLDER = re.compile(
    RUNS_FOLDER + r"/[0-9]{4}/[0-9]{2}/[0-9]{2}/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
)


def check_name(name: str) -> str:
    """Return the name of one file or folder unchanged; raise LakePathRefused with the reason if it is invalid."""
    why = _find_fault(name)
    if why:
        raise LakePathRefused(f"{_show(name)} is not a valid name for a lake file: {why}")
    return name


def check_uri(uri: str) -> tuple[str, ...]:
    """Return the parts of a path relative to the lake's root; raise LakePathRefused, with the reason, if invalid."""
    parts = tuple(uri.split("/"))
    for part in parts:
        why = _find_fault(part)
        if why:
            raise LakePathRefused(f"{_show(uri)} is not a valid path in the lake: {why}")
    if len(uri.encode()) > MAX_URI_BYTES:
        raise LakePathRefused(f"{_show(uri)} is not a valid path in the lake: longer than {MAX_URI_BYTES} bytes")
    return parts


def run_folder(started_utc: datetime, run_id: UUID) -> str:
    """Return the folder of a run: ``llm_runs/{yyyy}/{mm}/{dd}/{run_id}``, the UTC day of ``started_utc``.

    Raises ValueError for a naive time, whose day would depend on the machine.
    """
    if started_utc.tzinfo is None:
        raise ValueError("started_utc must be an aware time")
    day = started_utc.astimezone(UTC)
    return f"{RUNS_FOLDER}/{day.year:04}/{day.month:02}/{day.day:02}/{run_id}"


def is_run_folder(uri: str) -> bool:
    """Return whether a path is exactly that of a run's folder."""
    return _RUN_FOLDER.fullmatch(uri) is not None


def _has_invisible(part: str) -> bool:
    return any(unicodedata.category(one) in _INVISIBLE for one in part)


_FAULTS: tuple[tuple[Callable[[str], object], str], ...] = (
    (lambda part: part == "", "an empty part, or a slash at an end (paths are relative to the lake's root)"),
    (lambda part: "/" in part, "a slash"),
    (lambda part: not part.isprintable() and _has_invisible(part), "an invisible or control character"),
    (lambda part: part.startswith("."), "a part that begins with a dot"),
    (lambda part: part != part.strip() or part.endswith("."), "a part with a blank or a dot at its end"),
    (_FORBIDDEN.search, 'one of the characters \\ < > : " | ? *'),
    (_PERCENT_ENCODED.search, "a percent-encoded character"),
    (lambda part: _DEVICE.fullmatch(part.split(".", 1)[0].rstrip()), "the name of a device on Windows"),
    (lambda part: len(part.encode()) > MAX_NAME_BYTES, f"a part longer than {MAX_NAME_BYTES} bytes"),
)
"""Ordered so that text that cannot be encoded is found before anything is measured in bytes."""


@lru_cache(maxsize=4_096)  # a verification checks the same few names and days repeatedly
def _find_fault(part: str) -> str | None:
    return next((why for is_faulty, why in _FAULTS if is_faulty(part)), None)


def _show(text: str) -> str:
    shown = ascii(text)
    return shown if len(shown) <= 120 else shown[:117] + "…'"
