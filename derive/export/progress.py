"""An export's progress, in a file beside it: everything needed to resume exactly where it stopped.

The same file serves as the cursor of incremental exports: the next one starts where the last one ended.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from derive.errors import ConfigurationError
from derive.export.forms import FileFormat
from derive.export.selection import ExportSelection
from derive.strict_types import Frozen, Utc


class ExportOrder(Frozen):
    """What is exported and in which format."""

    selection: ExportSelection
    form: FileFormat
    is_exact: bool = False


class ExportCheckpoint(Frozen):
    """The state of an export, or of an incremental one between two runs (``out`` is None).

    It covers rows of runs with ``after < run_seq <= through`` that ended by ``ended_by``; those up to ``position`` are
    the first ``byte_count`` bytes of the partial file.
    """

    version: Literal[1] = 1
    order: ExportOrder
    out: str | None = None
    after: int = Field(ge=0)
    through: int = Field(ge=0)
    ended_by: Utc
    position: int = Field(ge=0)
    byte_count: int = Field(default=0, ge=0)
    row_count: int = Field(default=0, ge=0)

    @property
    def is_read(self) -> bool:
        """Whether all rows are in the partial file."""
        return self.position >= self.through


def load(path: Path) -> ExportCheckpoint | None:
    """Read a progress file, None if it does not exist; raises ConfigurationError if it is something else."""
    try:
        return ExportCheckpoint.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        why = error.strerror if isinstance(error, OSError) else "not an export's progress file"
        raise ConfigurationError(f"{path} cannot be read as an export's progress: {why}") from error


def save(path: Path, progress: ExportCheckpoint) -> None:
    """Replace the file atomically and durably; raises OSError."""
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("wb") as file:
            file.write(progress.model_dump_json().encode())
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError:
        with suppress(OSError):
            beside.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Sync a folder's entries to disk, where the system supports it."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
