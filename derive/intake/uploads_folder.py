"""The folder of uploads: each in a subfolder of its owner's, for a day.

Paths are made only of numbers and ids; file names are displayed, never used.
"""

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any
from uuid import UUID

from derive.intake.importing import new_import_id
from derive.intake.upload import STATE, Upload
from derive.intake.upload_state import UploadRefused, UploadState

KEPT_SECONDS = 24 * 3600
"""After the last step; queued jobs stay queued."""
MAX_KEPT = 10
"""Uploads per owner: with the limit per file, this limits disk use."""
_ARRIVING = "arriving-"


class UploadsFolder:
    """Stores uploads by owner (a user's id) and import id."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def new_file(self) -> Any:
        """Return a new open file for an upload; it is deleted on close unless kept."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return NamedTemporaryFile(dir=self._root, prefix=_ARRIVING)

    def keep(self, file: str, *, owner: int, state: UploadState) -> Upload:
        """Take over a received file; raise UploadRefused if its owner has too many."""
        self.sweep()
        kept = self.of(owner)
        while len(kept) >= MAX_KEPT:
            done = next((one for one, of_one in reversed(kept) if of_one.is_queued), None)
            if done is None:
                raise UploadRefused(f"You have {MAX_KEPT} uploads that are not queued: discard one of them first.")
            self.discard(done)
            kept = self.of(owner)
        import_id = new_import_id()
        upload = Upload(self._place(owner, import_id), import_id=import_id)
        upload.folder.parent.mkdir(mode=0o700, exist_ok=True)
        upload.begin(state, file)
        return upload

    def find(self, owner: int, import_id: UUID) -> Upload:
        """Return an owner's upload; raise UploadRefused if it is gone."""
        upload = Upload(self._place(owner, import_id), import_id=import_id)
        if _is_over(upload.folder):
            raise UploadRefused("This upload is no longer kept: upload the file again.")
        return upload

    def of(self, owner: int) -> list[tuple[Upload, UploadState]]:
        """Return an owner's uploads, newest first."""
        found = []
        for folder in _folders(self._root / str(owner)):
            with contextlib.suppress(UploadRefused, ValueError):
                if not _is_over(folder):
                    upload = Upload(folder, import_id=UUID(folder.name))
                    found.append((upload, upload.state()))
        return sorted(found, key=lambda one: one[1].uploaded_utc, reverse=True)

    def discard(self, upload: Upload) -> None:
        """Delete an upload; raise UploadRefused while a step is running."""
        with upload.locked():
            shutil.rmtree(upload.folder)

    def sweep(self) -> None:
        """Delete all expired uploads and abandoned files."""
        for owner in _folders(self._root):
            for folder in _folders(owner):
                if _is_over(folder):
                    with contextlib.suppress(UploadRefused, FileNotFoundError, ValueError):
                        self.discard(Upload(folder, import_id=UUID(folder.name)))
        for left in self._root.glob(f"{_ARRIVING}*"):
            with contextlib.suppress(FileNotFoundError):
                if _age(left) > KEPT_SECONDS:
                    left.unlink()

    def _place(self, owner: int, import_id: UUID) -> Path:
        return self._root / str(int(owner)) / import_id.hex


def _folders(parent: Path) -> Iterator[Path]:
    # An unreadable folder has nothing to show; the next write reports the reason.
    with contextlib.suppress(OSError):
        yield from [one for one in parent.iterdir() if one.is_dir() and not one.is_symlink()]


def _is_over(folder: Path) -> bool:
    """Whether an upload has expired; without a state, the folder's age counts."""
    for path in (folder / STATE, folder):
        with contextlib.suppress(FileNotFoundError):
            return _age(path) > KEPT_SECONDS
    return True


def _age(path: Path) -> float:
    return time.time() - path.stat().st_mtime
