"""Where ``LAKE_URL`` may point."""

from pathlib import Path

import pytest

from derive.errors import ConfigurationError
from derive.lake import Lake


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("lake\x00", "empty"),
        ("simplecache::s3://bucket", "empty"),
        ("https://example.org/lake", "no scheme that is served"),
        ("ftp://user:hunter2@example.org/lake", "no scheme that is served"),
        ("file://server/share", "absolute path"),
        ("s3://", "names no bucket"),
        ("memory:///", "names no bucket"),
    ],
    ids=ascii,
)
def test_a_wrong_url_is_refused_in_one_line_without_its_secrets(url: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        Lake.open(url)
    assert "LAKE_URL" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(("url", "extra"), [("s3://bucket/lake", "s3"), ("abfs://c@account.dfs/lake", "azure")])
def test_a_missing_package_is_named_with_its_extra(url: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for package in ("s3fs", "adlfs"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigurationError, match=rf"pip install 'holocron\[{extra}\]'"):
        Lake.open(url)


def test_a_file_url_and_a_path_are_the_same_lake(tmp_path: Path) -> None:
    root = tmp_path / "a lake"
    Lake.open(root.as_uri()).write("evidence", "luke.txt", b"x")
    assert Lake.open(str(root)).read("evidence/luke.txt") == b"x"
    assert "%20" in root.as_uri()


def test_a_relative_path_is_taken_from_where_the_lake_was_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lake = Lake.open("lake")
    monkeypatch.chdir("/")
    lake.write("evidence", "luke.txt", b"x")
    assert (tmp_path / "lake/evidence/luke.txt").read_bytes() == b"x"
