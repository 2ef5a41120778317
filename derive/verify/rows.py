"""Compares SQL, manifest and folder of one run: the quick part of a verification.

Each problem is reported once. The manifest is trusted if it has the hash recorded in SQL; files and SQL rows are then
compared with it.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from uuid import UUID

from pydantic import ValidationError

from derive.contracts import Manifest, ManifestFile
from derive.errors import LakeError, LakeFileMissing, LakeFileTooLarge
from derive.lake import ARTIFACTS, MANIFEST_NAME, MAX_MANIFEST_BYTES, Lake
from derive.lake_stores.folder import OpenFolder
from derive.lake_stores.paths import is_run_folder
from derive.lake_stores.store import Entry
from derive.verify.findings import Check, Findings
from derive.verify.stored import RunState, StoredArtifact, StoredRun, types_that_must_be

_NAME_OF = {artifact_type: name for name, (artifact_type, _) in reversed(list(ARTIFACTS.items()))}
"""The first name of each type: an answer's stream has one by each protocol."""
_MANIFEST_TYPE = ARTIFACTS[MANIFEST_NAME][0]
_COMPARED = ("artifact_type", "media_type", "byte_count", "content_sha256")
_compared = attrgetter(*_COMPARED)
_FACTS = (
    "job_id",
    "run_id",
    "attempt",
    "worker_id",
    "interrogation_key",
    "interrogation_version",
    "definition_sha256",
    "evidence_sha256",
    "started_utc",
    "status",
    "error_kind",
)
_facts = attrgetter(*_FACTS)


@dataclass(frozen=True, slots=True)
class RecordedFile:
    """A recorded file, with its size, which the folder's listing confirms."""

    name: str
    byte_count: int
    content_sha256: str


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run's folder after the quick part.

    ``files`` are those whose size matches; ``recorded`` names all expected ones.
    """

    state: RunState
    files: tuple[RecordedFile, ...]
    recorded: frozenset[str]
    manifest_bytes: int


def compare_rows(run: StoredRun, opened: OpenFolder, findings: Findings) -> RunFolder | None:
    """Compare SQL, manifest and folder; return what can be checked further, or None.

    Raises LakeUnavailable.
    """
    folder, listed = opened.uri, opened.entries
    if not listed:
        findings.add("", Check.MISSING, f"the folder {folder} is not in the lake, or is empty")
        return None
    rows = {_name_of(row): row for row in run.artifacts}
    manifest, manifest_bytes = _read_manifest(opened, rows.get(MANIFEST_NAME), findings)
    state = RunState.of(run, manifest)
    if manifest is not None:
        _compare_facts(run, manifest, findings)
        _compare_with_manifest(rows, manifest, findings)
    _find_missing_rows(run, state, rows, manifest, findings)
    for name, row in rows.items():
        if row.lake_uri != f"{folder}/{name}":
            findings.add(name, Check.ROW, f"lake_uri is {row.lake_uri}, and the file's path is {folder}/{name}")
    recorded = _recorded(rows, manifest)
    _find_extra_files(listed, recorded, findings)
    whole = [file for file in recorded.values() if _is_there(file, opened, findings)]
    return RunFolder(state, tuple(whole), frozenset(recorded), manifest_bytes)


def has_rows(run: StoredRun, findings: Findings) -> bool:
    """Whether the run handed in its files; if it did not, that may be a finding."""
    if not run.artifacts and run.must_have_rows:
        findings.add("", Check.ROW, f"the run ended {_end_of(run)} and has no artifact row")
    return bool(run.artifacts)


def _end_of(run: StoredRun) -> str:
    return f"{run.status} ({run.error_kind})" if run.error_kind else run.status


def _name_of(row: StoredArtifact) -> str:
    name = row.lake_uri.rpartition("/")[2]
    is_one_of_its_type = name in ARTIFACTS and ARTIFACTS[name][0] == row.artifact_type
    return name if is_one_of_its_type else _NAME_OF.get(row.artifact_type) or name


def open_run_folder(run: StoredRun, lake: Lake) -> OpenFolder:
    """Open the run's folder by its start time, or if that is empty, by the manifest row: either may be wrong.

    Raises LakeUnavailable.
    """
    opened = lake.open_folder(lake.run_folder(run.started_utc, run.run_id))
    for row in () if opened.entries else run.artifacts:
        other = row.lake_uri.rpartition("/")[0]
        if row.artifact_type == _MANIFEST_TYPE and _is_folder_of(other, run.run_id):
            found = lake.open_folder(other)
            if found.entries:
                opened.close()
                return found
            found.close()
    return opened


def _is_folder_of(folder: str, run_id: UUID) -> bool:
    return is_run_folder(folder) and folder.endswith(str(run_id))


def _read_manifest(opened: OpenFolder, row: StoredArtifact | None, findings: Findings) -> tuple[Manifest | None, int]:
    """Return the manifest, None if it cannot be trusted, and the number of bytes read."""
    try:
        data = opened.read(MANIFEST_NAME, max_bytes=MAX_MANIFEST_BYTES)
    except LakeFileMissing:
        findings.add(MANIFEST_NAME, Check.MISSING, "is not in the lake")
        return None, 0
    except LakeFileTooLarge:
        findings.add(MANIFEST_NAME, Check.SIZE, f"has more than {MAX_MANIFEST_BYTES} bytes, which no manifest has")
        return None, 0
    except LakeError as error:
        findings.add(MANIFEST_NAME, Check.UNREADABLE, str(error))
        return None, 0
    if row is not None and not _has_bytes_of(row, data, findings):
        return None, len(data)
    try:
        return Manifest.model_validate_json(data), len(data)
    except ValidationError as error:
        findings.add(MANIFEST_NAME, Check.MANIFEST, f"is not a manifest ({error.error_count()} faults)")
        return None, len(data)


def _has_bytes_of(row: StoredArtifact, data: bytes, findings: Findings) -> bool:
    if len(data) != row.byte_count:
        findings.add(MANIFEST_NAME, Check.SIZE, f"has {len(data)} bytes, recorded are {row.byte_count}")
        return False
    actual = hashlib.sha256(data).hexdigest()
    if actual != row.content_sha256:
        findings.add(MANIFEST_NAME, Check.BYTES, f"has the SHA-256 {actual}, recorded is {row.content_sha256}")
        return False
    return True


def _compare_facts(run: StoredRun, manifest: Manifest, findings: Findings) -> None:
    for name, in_sql, in_manifest in zip(_FACTS, _facts(run), _facts(manifest), strict=True):
        if in_sql != in_manifest:
            findings.add(MANIFEST_NAME, Check.FACTS, f"{name} is {in_sql} in SQL and {in_manifest} in the manifest")


def _compare_with_manifest(rows: Mapping[str, StoredArtifact], manifest: Manifest, findings: Findings) -> None:
    listed: dict[str, ManifestFile] = {}
    for file in manifest.files:
        if file.name in listed or file.name == MANIFEST_NAME:
            findings.add(MANIFEST_NAME, Check.MANIFEST, f"lists {file.name} twice, or itself")
        listed[file.name] = file
    for name, row in rows.items():
        if name == MANIFEST_NAME:
            if (row.artifact_type, row.media_type) != ARTIFACTS[MANIFEST_NAME]:
                findings.add(name, Check.ROW, f"media_type is {row.media_type} in SQL, which no manifest has")
        elif name not in listed:
            findings.add(name, Check.ROW, "has an artifact row and is not in the manifest")
        elif (in_sql := _compared(row)) != (in_manifest := _compared(listed[name])):
            pairs = zip(_COMPARED, in_sql, in_manifest, strict=True)
            differing = [
                f"{column} is {one} in SQL and {other} in the manifest" for column, one, other in pairs if one != other
            ]
            findings.add(name, Check.ROW, "; ".join(differing))


def _find_missing_rows(
    run: StoredRun,
    state: RunState,
    rows: Mapping[str, StoredArtifact],
    manifest: Manifest | None,
    findings: Findings,
) -> None:
    listed = {file.name for file in manifest.files} if manifest else set()
    types = {ARTIFACTS[name][0] for name in rows if name in ARTIFACTS}
    must_be = {_NAME_OF[artifact_type] for artifact_type in types_that_must_be(run, state) - types}
    for name in sorted((listed | must_be) - rows.keys()):
        why = "is in the manifest" if name in listed else f"must be there after a run that ended {_end_of(run)}"
        findings.add(name, Check.ROW, f"{why} and has no artifact row")


def _recorded(rows: Mapping[str, StoredArtifact], manifest: Manifest | None) -> dict[str, RecordedFile]:
    files = manifest.files if manifest is not None else ()
    recorded = {file.name: RecordedFile(file.name, file.byte_count, file.content_sha256) for file in files}
    if manifest is None:
        recorded = {name: RecordedFile(name, row.byte_count, row.content_sha256) for name, row in rows.items()}
    recorded.pop(MANIFEST_NAME, None)
    return recorded


def _find_extra_files(listed: Mapping[str, Entry], recorded: Mapping[str, RecordedFile], findings: Findings) -> None:
    for name in sorted(listed.keys() - recorded.keys() - {MANIFEST_NAME}):
        findings.add(name, Check.EXTRA, "is in the run's folder and not listed")


def _is_there(file: RecordedFile, opened: OpenFolder, findings: Findings) -> bool:
    entry = opened.entries.get(file.name)
    if entry is None or entry.is_folder:
        try:
            opened.read_start(file.name, max_bytes=0)
        except LakeFileMissing:
            findings.add(file.name, Check.MISSING, "is not in the lake")
        except LakeError as error:
            findings.add(file.name, Check.UNREADABLE, str(error))
        else:
            # It appeared after the listing: check it like the others.
            return True
        return False
    if entry.byte_count != file.byte_count:
        findings.add(file.name, Check.SIZE, f"has {entry.byte_count} bytes, recorded are {file.byte_count}")
        return False
    return True
