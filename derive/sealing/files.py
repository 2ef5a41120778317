"""The files of a sealed run: each must have its sealed bytes, and no others may exist."""

from collections.abc import Iterator
from typing import Any

from derive.errors import LakeError, LakeFileMissing
from derive.lake import Lake
from derive.models import Run
from derive.sealing.document import SealedRun
from derive.sealing.findings import AuditFinding, AuditSummary, FindingKind
from derive.sealing.rows import ARTIFACT_COLUMNS
from derive.sql.reading import reading

_URI, _BYTES = ARTIFACT_COLUMNS.index("lake_uri"), ARTIFACT_COLUMNS.index("byte_count")
_SHA256 = ARTIFACT_COLUMNS.index("content_sha256")


def check_files(
    run: SealedRun, rows: dict[str, tuple[Any, ...]], lake: Lake, summary: AuditSummary, *, quick: bool
) -> Iterator[AuditFinding]:
    """Yield problems with the files of these rows, which match the seal; raises LakeUnavailable.

    A quick check compares only sizes. A run purged in the meantime has no findings: its files went with it.
    """
    if not rows:
        return
    found = list(_check(run, rows, lake, summary, quick=quick))
    if found and reading(lambda: list(Run.objects.filter(run_id=run.run_id).values_list("run_id"))):
        yield from found


def _check(
    run: SealedRun, rows: dict[str, tuple[Any, ...]], lake: Lake, summary: AuditSummary, *, quick: bool
) -> Iterator[AuditFinding]:
    folders = {row[_URI].rpartition("/")[0] for row in rows.values()}
    listed = {f"{folder}/{entry.name}": entry.byte_count for folder in folders for entry in lake.list_folder(folder)}
    for row in rows.values():
        summary.files += 1
        why = _fault(row, listed.pop(row[_URI], None), lake, summary, quick=quick)
        if why is not None:
            yield AuditFinding("file", row[_URI], *why)
    if len(rows) == len(run.artifacts):
        # With a missing or changed row, its file would look unsealed.
        for uri in listed:
            yield AuditFinding("file", uri, FindingKind.INSERTED, "was not sealed with its run")


def _fault(
    row: tuple[Any, ...], byte_count: int | None, lake: Lake, summary: AuditSummary, *, quick: bool
) -> tuple[FindingKind, str] | None:
    if byte_count is None:
        return FindingKind.MISSING, "is not in the lake"
    if byte_count != row[_BYTES]:
        return FindingKind.CHANGED, f"has {byte_count} bytes, sealed were {row[_BYTES]}"
    return None if quick else _fault_in_bytes(row, lake, summary)


def _fault_in_bytes(row: tuple[Any, ...], lake: Lake, summary: AuditSummary) -> tuple[FindingKind, str] | None:
    try:
        digest, read = lake.hash_file(row[_URI])
    except LakeFileMissing:
        return FindingKind.MISSING, "is not in the lake"
    except LakeError as error:
        return FindingKind.UNREADABLE, str(error)
    summary.bytes_read += read
    if digest != row[_SHA256]:
        return FindingKind.CHANGED, f"has the SHA-256 {digest}, sealed was {row[_SHA256]}"
    return None
