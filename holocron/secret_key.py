"""The key that signs sessions, generated once and stored in a file that only its owner can read."""

import os
import secrets
import tempfile
from pathlib import Path

from holocron.environment import SettingsError

MIN_CHARACTERS = 32


def read_or_make_secret_key(folder: Path) -> str:
    """Return the key in the folder, creating folder and key if they do not exist; raise SettingsError.

    Several processes may start at once: the key is written to a temporary file and linked into place, which only one
    process can do, and all return that process's key.
    """
    path = folder / "secret_key"
    try:
        if not path.exists():
            _make(path)
        key = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"HOLOCRON_VAR: {path} cannot be used ({error}): set SECRET_KEY, or another folder"
        ) from None
    if len(key) < MIN_CHARACTERS:
        raise SettingsError(f"HOLOCRON_VAR: {path} holds no key: delete it, and a new one is made")
    return key


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # mkstemp creates the file with mode 600.
    handle, name = tempfile.mkstemp(prefix=".secret_key.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(50) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, path)
        except FileExistsError:
            return
    finally:
        Path(name).unlink(missing_ok=True)
