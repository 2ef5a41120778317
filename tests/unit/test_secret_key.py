"""The kept key: one for all, and for its owner's eyes only."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from holocron.environment import SettingsError
from holocron.secret_key import MIN_CHARACTERS, read_or_make_secret_key


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "var"
    key = read_or_make_secret_key(folder)
    assert len(key) >= MIN_CHARACTERS
    assert read_or_make_secret_key(folder) == key
    assert (folder / "secret_key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in folder.iterdir()] == ["secret_key"]


def test_who_starts_at_the_same_time_gets_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        keys = set(pool.map(read_or_make_secret_key, [tmp_path / "var"] * 64))
    assert len(keys) == 1


def test_an_emptied_key_file_is_not_a_key(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("")
    with pytest.raises(SettingsError, match="delete it"):
        read_or_make_secret_key(tmp_path)


def test_a_folder_that_cannot_be_made_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="HOLOCRON_VAR"):
        read_or_make_secret_key(tmp_path / "file" / "var")
