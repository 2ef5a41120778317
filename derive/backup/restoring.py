"""Restores a backup: first the lake, then the database at once, so that SQL never names a file that is not there."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from derive.backup import database
from derive.backup.document import LAKE, BackupDocument, read_document
from derive.errors import ConfigurationError, HolocronError
from derive.lake import Lake
from derive.lake_copy import CopySummary, copy_lake


@dataclass(frozen=True)
class Restoration:
    """What was restored."""

    document: BackupDocument
    copied: CopySummary


def restore_backup(
    folder: Path, lake: Lake, *, on_progress: Callable[[CopySummary], None] = lambda _: None
) -> Restoration:
    """Restore into the empty database and the lake at LAKE_URL, which is empty or holds a part of the same one.

    Interrupted, it can be started again. Raises ConfigurationError and other HolocronErrors.
    """
    database.require_postgresql("restore")
    document = read_document(folder)
    dump = folder / document.database.name
    saved = Lake.open(str(folder / LAKE))
    if not dump.is_file():
        raise ConfigurationError(f"the backup lacks {dump.name}")
    if not (folder / LAKE).is_dir() or saved.read_identity() != document.lake_id:
        raise ConfigurationError(f"the backup lacks its lake: {folder / LAKE} is not the lake {document.lake_id}")
    if database.hash_of(dump) != document.database.sha256:
        raise ConfigurationError(f"{dump.name} is not the file that was backed up: its SHA-256 differs")
    database.require_empty()
    lake.probe()
    there = lake.read_identity()
    if there is not None and there != document.lake_id:
        raise ConfigurationError(f"the lake at LAKE_URL is another one ({there}): name an empty place")
    copied = copy_lake(saved, lake, on_progress=on_progress)
    if copied.faults:
        raise HolocronError(f"the lake could not be restored: {'; '.join(copied.faults[:5])}")
    lake.write_identity(document.lake_id)
    counts = database.load(dump)
    wrong = [
        f"{name}: {counts.get(name)} of {count}" for name, count in document.counts.items() if counts.get(name) != count
    ]
    if wrong:
        raise HolocronError(f"the restored database has other rows than were backed up: {', '.join(wrong)}")
    return Restoration(document, copied)
