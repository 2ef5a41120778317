"""Reads a secret from a file, such as those of containers and service managers."""

from pathlib import Path

from holocron.environment import SettingsError


def read_secret_file(file: Path, *, variable: str) -> str:
    """Return the file's first line; raise SettingsError, which names the variable, if it cannot be read."""
    try:
        return file.read_text("utf-8").partition("\n")[0].removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"{variable}: {file} cannot be read: {reason}") from None
