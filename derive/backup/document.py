"""``backup.json``: what a backup holds. It is written last, so a folder without it holds no backup."""

import os
from datetime import datetime
from pathlib import Path
from typing import Annotated
from uuid import UUID

from pydantic import Field, ValidationError

from derive.errors import ConfigurationError
from derive.strict_types import Frozen

NAME = "backup.json"
LAKE = "lake"
Count = Annotated[int, Field(ge=0)]


class DumpFile(Frozen):
    """The database's dump: a file of this folder."""

    name: Annotated[str, Field(pattern=r"^database-[0-9TZ]{1,40}\.dump$")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    byte_count: Count


class BackupDocument(Frozen):
    """One backup. ``counts`` are the rows of some tables in the very snapshot that was dumped."""

    format: Annotated[int, Field(ge=1, le=1)] = 1
    made_utc: datetime
    holocron_version: str
    lake_id: UUID
    database: DumpFile
    counts: dict[str, Count]


def read_document(folder: Path) -> BackupDocument:
    """Return the document of a backup; raise ConfigurationError with what to do."""
    file = folder / NAME
    try:
        return BackupDocument.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        raise ConfigurationError(
            f"{folder} holds no finished backup: there is no {NAME}; name the folder that manage.py backup wrote"
        ) from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigurationError(f"{file} is not a backup's document ({error.error_count()} faults)") from None


def write_document(folder: Path, document: BackupDocument) -> None:
    """Write the document durably, in the place of an earlier one. Raises OSError."""
    part = folder / f"{NAME}.part"
    with part.open("w", encoding="utf-8") as stream:
        stream.write(document.model_dump_json(indent=2) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(folder / NAME)
