"""Where a real server cannot be had its tests say so, and fail where it was promised."""

from pathlib import Path

import pytest

from tests.real_servers import servers
from tests.real_servers.conftest import or_skip
from tests.real_servers.servers import ServerNotHad, llama_server


@pytest.fixture
def not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "find_spec", lambda name: None)


def test_a_server_that_is_not_installed_is_skipped_with_what_to_do(
    not_installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUIRE_LLAMA_SERVER", raising=False)
    with pytest.raises(pytest.skip.Exception, match="make setup"), or_skip(llama_server(tmp_path)):
        raise AssertionError("there is none")


def test_a_server_that_was_promised_is_not_skipped(
    not_installed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUIRE_LLAMA_SERVER", "1")
    with pytest.raises(ServerNotHad), or_skip(llama_server(tmp_path)):
        raise AssertionError("there is none")
