"""How the model server is reached: its address, and the credentials that it or a proxy in front of it asks for.

A user and password may stand in the address. They are taken out of it here, so that no address that is logged, shown
or stored holds them.
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
    """Return the key given by itself or by a file's first line, empty when neither is; raise SettingsError."""
    if file is None:
        return key
    if key:
        raise SettingsError("OLLAMA_API_KEY and OLLAMA_API_KEY_FILE are both set: leave one empty")
    key = read_secret_file(file, variable="OLLAMA_API_KEY_FILE").strip()
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        raise SettingsError(f"OLLAMA_API_KEY_FILE: {file} must hold a key of ASCII characters in its first line")
    return key


def read_ollama_access(url: str, *, api_key: str) -> "tuple[str, SecretStr | None]":
    """Return the address without user and password, and the Authorization header's value, None for no credentials.

    Raises SettingsError when the address holds credentials beside an API key: only one can be sent.
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
    from pydantic import SecretStr  # no start without credentials waits for Pydantic

    return SecretStr(text)
