"""Makes a backup: first the database, in one snapshot, then the lake, which then holds every file that SQL names."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from derive.backup import database
from derive.backup.document import LAKE, BackupDocument, write_document
from derive.errors import ConfigurationError, HolocronError
from derive.lake import Lake
from derive.lake_copy import CopySummary, copy_lake
from derive.lake_identity import check_lake_identity


@dataclass(frozen=True)
class Backup:
    """A finished backup, and what of the lake was copied this time."""

    document: BackupDocument
    copied: CopySummary


def make_backup(
    folder: Path,
    lake: Lake,
    *,
    holocron_version: str,
    on_progress: Callable[[CopySummary], None] = lambda _: None,
) -> Backup:
    """Back up into a folder, which may hold an earlier backup of the same lake: its files are not copied again.

    Workers may run meanwhile. The earlier backup is whole until this one is. Raises ConfigurationError and other
    HolocronErrors.
    """
    database.require_postgresql("backup")
    check_lake_identity(lake)
    lake_id = lake.read_identity()
    if lake_id is None:
        raise ConfigurationError("the lake at LAKE_URL has no id yet: start a worker once, or run set_up_lake")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy = Lake.open(str(folder / LAKE))
        copy.probe()
        there = copy.read_identity()
        if there is not None and there != lake_id:
            raise ConfigurationError(f"{folder} holds a backup of another lake ({there}): name another folder")
        made_utc = datetime.now(UTC)
        with database.snapshot() as (name, counts):
            dump = database.dump(folder, f"database-{made_utc:%Y%m%dT%H%M%SZ}.dump", of_snapshot=name)
        copied = copy_lake(lake, copy, on_progress=on_progress)
        if copied.faults:
            raise HolocronError(f"the lake could not be copied: {'; '.join(copied.faults[:5])}")
        copy.write_identity(lake_id)
        document = BackupDocument(
            made_utc=made_utc, holocron_version=holocron_version, lake_id=lake_id, database=dump, counts=counts
        )
        write_document(folder, document)
        for old in folder.glob("database-*.dump*"):
            if old.name != dump.name:
                old.unlink()
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be written: {error.strerror}") from error
    return Backup(document, copied)
