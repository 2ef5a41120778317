"""Puts a mutant in the place of its file, for one process of pytest: ``-p tests.mutants.plugin``.

A module is loaded from the mutant's text. A procedure's script reads as the mutant, so that preparing the test
database installs it; the next process finds that the script on record differs, and installs its own.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType

from tests.mutants.mutation import PATH_VARIABLE, ROOT, TEXT_VARIABLE


class _Loader(importlib.machinery.SourceFileLoader):
    """Compiles the mutant's text in place of the file's, and leaves no compiled module behind."""

    def get_code(self, fullname: str) -> CodeType:
        source = Path(os.environ[TEXT_VARIABLE]).read_bytes()
        return compile(source, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, name: str, path: Path) -> None:
        self._name, self._path = name, path

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=_Loader(fullname, str(self._path)))


def _install() -> None:
    mutated = os.environ.get(PATH_VARIABLE)
    if not mutated:
        return
    if mutated.endswith(".py"):
        name = mutated.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        assert name not in sys.modules, f"{name} was imported before it could be mutated"
        sys.meta_path.insert(0, _Finder(name, ROOT / mutated))
        return
    read_bytes = Path.read_bytes
    script = ROOT / mutated

    def read_mutant(path: Path) -> bytes:
        return read_bytes(Path(os.environ[TEXT_VARIABLE]) if path == script else path)

    setattr(Path, "read_bytes", read_mutant)  # noqa: B010 (a checker takes an assignment for a mistake)


_install()
