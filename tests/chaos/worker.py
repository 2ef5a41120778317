"""The worker's command as it is, but for one seam: while a file beside the lake says so, the lake is full.

``python -m tests.chaos.worker run_llm_worker --loop`` is ``manage.py run_llm_worker --loop``. A full disk cannot be
made by who may not mount one: here a write takes some of its bytes and fails with ENOSPC, as on a disk that fills.
"""

import errno
import os
import sys
from pathlib import Path

import manage
from derive.lake_stores import local, staging
from derive.lake_stores.directory import Directory

FULL_VARIABLE = "CHAOS_LAKE_FULL"
"""Names the file that makes the lake full."""


def main() -> int:
    _let_the_lake_be_full(Path(os.environ[FULL_VARIABLE]))
    return manage.main()


def _let_the_lake_be_full(sign: Path) -> None:
    write_fully, create_file = staging.write_fully, Directory.create_file

    def write_until_full(descriptor: int, data: bytes) -> None:
        if sign.exists():
            os.write(descriptor, memoryview(data)[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write_fully(descriptor, data)

    def create_until_full(directory: Directory, name: str) -> int:
        # Half of the names: a disk that is out of blocks may still have inodes.
        if sign.exists() and hash(name) % 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return create_file(directory, name)

    for module in (staging, local):
        setattr(module, write_fully.__name__, write_until_full)
    setattr(Directory, create_file.__name__, create_until_full)


if __name__ == "__main__":
    sys.exit(main())
