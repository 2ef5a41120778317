"""A lake in a folder of its own."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from derive.lake import Lake
from tests.unit.lake.scene import NOBODY


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "above" / "lake"


@pytest.fixture
def local_lake(root: Path) -> Lake:
    lake = Lake.open(str(root))
    lake.probe()
    return lake


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_bytes(b"secret")
    return outside


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A lake's root that an ordinary user owns and can reach; pytest's own folders are closed to others."""
    place = Path(tempfile.mkdtemp(prefix="lake-"))
    place.chmod(0o755)
    root = place / "lake"
    root.mkdir()
    if os.geteuid() == 0:
        os.chown(root, NOBODY, NOBODY)
    yield root
    root.chmod(0o755)
    shutil.rmtree(place)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    if mount is None or os.geteuid() != 0:
        pytest.skip("a real full disk needs the right to mount one")
    made = subprocess.run([mount, "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, check=False)
    if made.returncode:
        pytest.skip(f"no small disk can be mounted here: {made.stderr.decode().strip()}")
    yield disk
    subprocess.run([shutil.which("umount") or "umount", disk], check=True)
