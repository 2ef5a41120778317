"""Puts a mutant in the place of its file, for one process of pytest: ``-p tests.mutants.plugin``.

A module is loaded from the mutant's text. Hypothesis tries the same examples each time and makes none smaller: only
whether a test fails is asked.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import hypothesis

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


def read_as(path: str, text: str) -> None:
    """Let a file below ROOT read as another text, for the rest of this process."""
    read_bytes, read_text, script = Path.read_bytes, Path.read_text, ROOT / path

    def bytes_of(self: Path) -> bytes:
        return text.encode() if self == script else read_bytes(self)

    def text_of(self: Path, *arguments: Any, **options: Any) -> str:
        return text if self == script else read_text(self, *arguments, **options)

    setattr(Path, "read_bytes", bytes_of)  # noqa: B010 (a checker takes an assignment for a mistake)
    setattr(Path, "read_text", text_of)  # noqa: B010


_PHASES = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
hypothesis.settings.register_profile("mutants", deadline=None, derandomize=True, database=None, phases=_PHASES)
hypothesis.settings.load_profile("mutants")


def _install() -> None:
    mutated = os.environ.get(PATH_VARIABLE)
    if not mutated:
        return
    name = mutated.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    assert name not in sys.modules, f"{name} was imported before it could be mutated"
    sys.meta_path.insert(0, _Finder(name, ROOT / mutated))


_install()
