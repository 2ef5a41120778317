"""Access to the model server: its address, and the credentials for it or a proxy in front of it.

The address may contain a user and password. They are removed here, so that an address that is logged, shown or stored
never contains them.
"""

import re
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from holocron.environment import SettingsError
from holocron.secret_file import read_secret_file

if TYPE_CHECKING:
    from pydantic import SecretStr


def read_api_key(key: str, *, file: Path | None) -> str:
    """Return the key from its variable or the first line of a file, or "" if neither is set; raise SettingsError."""
    if file is None:
        return key
    if key:
        raise SettingsError("OLLAMA_API_KEY and OLLAMA_API_KEY_FILE are both set: leave one empty")
    key = read_secret_file(file, variable="OLLAMA_API_KEY_FILE").strip()
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise SettingsError(f"OLLAMA_API_KEY_FILE: {file} must hold a key of ASCII characters in its first line")
    return key


def read_ollama_access(url: str, *, api_key: str) -> "tuple[str, SecretStr | None]":
    """Return the address without user and password, and the Authorization header's value (None: no credentials).

    Raises SettingsError if there are both credentials in the address and an API key, since only one can be sent.
    """
    parts = urlsplit(url)
    if "@" not in parts.netloc:
        return url, _secret(f"Bearer {api_key}") if api_key else None
    if api_key:
        raise SettingsError("OLLAMA_BASE_URL holds a user and OLLAMA_API_KEY is set: only one can be sent, drop one")
    address = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return address, _secret(f"Basic {b64encode(credentials.encode()).decode()}")


def _secret(text: str) -> "SecretStr":
    from pydantic import SecretStr  # imported here so that starts without credentials do not load Pydantic

    return SecretStr(text)
