"""Every command of docs/tutorial.md, typed in the order it stands there, in a copy of the project."""

import os
import re
import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from holocron.embedded_postgres.programs import NoProgramsError, find_programs
from holocron.settings import BASE_DIR

TUTORIAL = (BASE_DIR / "docs" / "tutorial.md").read_text("utf-8")
BLOCKS = re.findall(r"^```sh\n(.*?)^```$", TUTORIAL, re.MULTILINE | re.DOTALL)
COPIED = ("holocron", "derive", "templates", "migrations_sql", "docs", ".ci", "manage.py", "Makefile")
OWN_PORTS = ("11500", "8000")
LONGEST_SECONDS = 500


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy with the tools of this one."""
    try:
        find_programs()
    except NoProgramsError as error:
        pytest.skip(f"{error}: the tutorial starts an embedded PostgreSQL")
    folder = tmp_path / "holocron"
    folder.mkdir()
    for name in (*COPIED, *(path.name for path in BASE_DIR.glob("requirements*.txt")), "pyproject.toml"):
        source = BASE_DIR / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    (folder / ".venv").symlink_to((BASE_DIR / ".venv").resolve(), target_is_directory=True)
    return folder


@pytest.mark.slow
@pytest.mark.timeout(LONGEST_SECONDS + 60)
def test_every_command_of_the_tutorial_works_as_written(project: Path) -> None:
    script = "\n".join(BLOCKS)
    for port in OWN_PORTS:
        assert port in script
        script = script.replace(port, str(free_port()))
    # Before the last block, which clears away: the web server answers, and the rows are there.
    commands, last = script.rsplit("kill %1", 1)
    looks = "curl --silent --fail --retry 40 --retry-delay 0 --retry-all-errors "
    address = re.findall(r"--bind (\S+)", commands)[0]
    own = {"DATABASE_URL": "", "LAKE_URL": "", "WORKER_ID": "", "LOG_FORMAT": "text", "SECRET_KEY": ""}
    log = project / "said.txt"
    with log.open("wb") as told:
        typed = subprocess.Popen(
            ["bash", "-e", "-c", f"{commands}\n{looks} http://{address}/healthz\nkill %1{last}"],  # noqa: S607
            cwd=project,
            env={**os.environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=told,
            stderr=told,
            start_new_session=True,
        )
    try:
        code = typed.wait(LONGEST_SECONDS)
    finally:
        with suppress(ProcessLookupError):  # all have gone
            os.killpg(typed.pid, signal.SIGKILL)
    said = log.read_text("utf-8")
    assert code == 0, said
    assert "The function parse_file was removed." in said
    assert said.count("0 faults") == 2 or said.count("all verify") == 2, said
    for plan in (
        ("queue 2 jobs", "2  new"),
        ("queue 1 jobs", "1  changed: the evidence is another", "1  gone from the source"),
        ("queue 1 jobs", "1  stale: the interrogation's definition is another"),
    ):
        assert all(line in said for line in plan), said
    assert "changelog-facts: 1 queued, 1 retired" in said
    assert said.count("release-facts: 1 queued, 0 retired") == 3, said
    assert "ok" in said
    assert not (project / "var" / "tutorial").exists()
