"""Where a real server cannot be had its tests say so, and fail where it was promised."""

from pathlib import Path

import pytest

from tests.real_servers import build_ollama, servers
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


@pytest.mark.parametrize(
    ("programs", "said"), [((), "install Go"), (("go",), "C++ compiler"), (("go", "c++"), "nlohmann-json3-dev")]
)
def test_an_ollama_that_cannot_be_built_says_in_one_line_what_is_missing(
    programs: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name in programs:
        program = tmp_path / name
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(build_ollama, "PROGRAM", tmp_path / "ollama")
    assert build_ollama.main() == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert said in line
    assert "make test-ollama OLLAMA=" in line
