"""Credentials for the model server: from the settings into one header, and out of every address."""

from base64 import b64decode
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holocron.environment import SettingsError
from holocron.ollama_access import read_api_key, read_ollama_access

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)


def test_an_address_without_credentials_sends_none() -> None:
    assert read_ollama_access("http://127.0.0.1:11434", api_key="") == ("http://127.0.0.1:11434", None)


def test_a_key_is_sent_as_a_bearer() -> None:
    address, authorization = read_ollama_access("https://ollama.example", api_key="sk-1")
    assert address == "https://ollama.example"
    assert authorization is not None
    assert authorization.get_secret_value() == "Bearer sk-1"


@given(TEXT, TEXT)
def test_user_and_password_leave_the_address_for_the_header(user: str, password: str) -> None:
    url = f"https://{quote(user, safe='')}:{quote(password, safe='')}@[::1]:8443/models"
    address, authorization = read_ollama_access(url, api_key="")
    assert address == "https://[::1]:8443/models"
    assert authorization is not None
    scheme, _, token = authorization.get_secret_value().partition(" ")
    assert (scheme, b64decode(token).decode()) == ("Basic", f"{user}:{password}")


def test_a_user_without_a_password_is_sent_too() -> None:
    _, authorization = read_ollama_access("https://token@host", api_key="")
    assert authorization is not None
    assert b64decode(authorization.get_secret_value().removeprefix("Basic ")) == b"token:"


def test_two_ways_to_prove_who_asks_are_refused() -> None:
    with pytest.raises(SettingsError, match=r"OLLAMA_BASE_URL.*OLLAMA_API_KEY") as caught:
        read_ollama_access("https://ada:hush@host", api_key="sk-hush")
    assert "hush" not in str(caught.value)


def test_a_key_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"sk-1 \r\nanother line\n")
    assert read_api_key("", file=file) == "sk-1"
    assert read_api_key("sk-2", file=None) == "sk-2"
    with pytest.raises(SettingsError, match="both set"):
        read_api_key("sk-2", file=file)


@pytest.mark.parametrize("content", [None, b"", b"\nsk-1\n", b"hush hush\n", b"\xff\xfe\n", "clé".encode()])
def test_an_empty_key_file_is_reported_without_its_content(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SettingsError, match="OLLAMA_API_KEY_FILE: ") as caught:
        read_api_key("", file=file)
    assert "hush" not in str(caught.value)
