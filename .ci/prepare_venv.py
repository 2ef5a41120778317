"""Makes .venv ready: ``python .ci/prepare_venv.py requirements-dev.txt``. Standard library only.

Done once for a file's contents: a stamp in .venv holds its hash, with the interpreter's version and the folder's path,
since an environment that was moved does not work. A .venv that is a link belongs to somebody else and is left as it is.
"""

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)
FOLDER = Path(".venv")
# What runs is a part of what tests: an environment for the second serves the first.
COVERED_BY = {
    "requirements.txt": ("requirements.txt", "requirements-dev.txt"),
    "requirements-dev.txt": ("requirements-dev.txt",),
}


def main() -> int:
    """Make it ready; return the exit code."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        present = ".".join(map(str, sys.version_info[:2]))
        print(f"holocron: Python 3.11 to 3.13 is needed, this is {present}: make PYTHON=python3.11 …", file=sys.stderr)
        return 2
    wanted = sys.argv[1]
    if FOLDER.is_symlink() or any(_is_ready(name) for name in COVERED_BY[wanted]):
        return 0
    print(f"holocron: setting up {FOLDER} from {wanted}", file=sys.stderr)
    if not _works():
        try:
            venv.create(FOLDER, with_pip=True, clear=True)
        except (OSError, subprocess.SubprocessError):
            print("holocron: no virtual environment can be made: install Python's venv (python3-venv)", file=sys.stderr)
            return 2
    options = ["--quiet", "--disable-pip-version-check", "--require-hashes"]
    # pip has said why, where it fails.
    if subprocess.run([_python(), "-m", "pip", "install", *options, "-r", wanted], check=False).returncode != 0:
        return 2
    _stamp(wanted).write_text(_state(wanted), "utf-8")
    return 0


def _python() -> str:
    return str(FOLDER / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python"))


def _works() -> bool:
    """Whether the environment is of this interpreter's version, and in this place."""
    code = "import sys, pip; print(sys.version_info[:2], sys.prefix)"
    try:
        said = subprocess.run([_python(), "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return False
    return said == f"{sys.version_info[:2]} {FOLDER.absolute()}"


def _stamp(name: str) -> Path:
    return FOLDER / f".{name}.sha256"


def _state(name: str) -> str:
    return f"{hashlib.sha256(Path(name).read_bytes()).hexdigest()} {sys.version_info[:2]} {FOLDER.absolute()}\n"


def _is_ready(name: str) -> bool:
    return _stamp(name).exists() and _stamp(name).read_text("utf-8") == _state(name) and Path(_python()).exists()


if __name__ == "__main__":
    sys.exit(main())
