"""What stands in the lake, read past the project's own code: every file below a run's folder, with its hash."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

HIDDEN = "."


@dataclass(frozen=True, slots=True)
class LakeFile:
    uri: str
    byte_count: int
    content_sha256: str

    @property
    def name(self) -> str:
        return self.uri.rpartition("/")[2]

    @property
    def folder(self) -> str:
        return self.uri.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class LakeFiles:
    """``folders`` are those of runs, by run id; ``files`` have names, ``hidden`` counts what was left half-way."""

    root: Path
    folders: Mapping[UUID, str]
    files: Mapping[str, LakeFile]
    hidden: int

    def path(self, uri: str) -> Path:
        return self.root / uri


def read_lake(root: Path) -> LakeFiles:
    """Walk the lake and hash every byte of it."""
    folders: dict[UUID, str] = {}
    files: dict[str, LakeFile] = {}
    hidden = 0
    for where, _, names in os.walk(root / "llm_runs"):
        folder = Path(where).relative_to(root).as_posix()
        if folder.count("/") == 4:
            folders[UUID(folder.rpartition("/")[2])] = folder
        for name in names:
            if name.startswith(HIDDEN):
                hidden += 1
                continue
            content = Path(where, name).read_bytes()
            uri = f"{folder}/{name}"
            files[uri] = LakeFile(uri, len(content), hashlib.sha256(content).hexdigest())
    return LakeFiles(root, folders, files, hidden)
