"""What the lake's tests share: one run, its manifest, and ways to make the machine fail."""

import contextlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from derive.contracts import Manifest, ManifestFile
from derive.lake import Lake
from derive.states import RunStatus

STARTED = datetime(2026, 11, 23, 12, tzinfo=UTC)
RUN_ID = UUID("0f8fad5b-d9cb-469f-a165-70867728950e")
FOLDER = Lake.run_folder(STARTED, RUN_ID)
NOBODY = 65534


def manifest_of(files: tuple[ManifestFile, ...]) -> Manifest:
    return Manifest(
        holocron_version="0.1.0",
        job_id=RUN_ID,
        run_id=RUN_ID,
        attempt=1,
        worker_id="w",
        interrogation_key="sw_entity_facts_v1",
        interrogation_version=None,
        definition_sha256=None,
        evidence_sha256=None,
        started_utc=STARTED,
        status=RunStatus.SUCCEEDED,
        error_kind=None,
        files=files,
    )


@contextlib.contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Root passes every permission: do without for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def all_files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def fail_with(number: int, monkeypatch: pytest.MonkeyPatch, call: str, *, after: int = 0) -> None:
    """Let the operating system's call fail with the error from its n-th use on."""
    real = getattr(os, call)
    uses = iter(range(1_000_000))

    def failing(*args: object, **kwargs: object) -> object:
        if next(uses) >= after:
            raise OSError(number, os.strerror(number))
        return real(*args, **kwargs)

    monkeypatch.setattr(os, call, failing)
