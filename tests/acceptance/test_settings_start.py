"""A wrong setting stops every program with one line and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from holocron.settings import BASE_DIR


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "SECRET_KEY": "s" * 50, **variables}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("program", [("manage.py", "check"), ("-c", "import holocron.settings")], ids=["manage", "any"])
def test_a_wrong_value_is_one_line_and_exit_code_2(program: tuple[str, ...]) -> None:
    done = run(*program, OLLAMA_SEED="abc")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "holocron: OLLAMA_SEED='abc' cannot be used: write a whole number from 0 to 2147483647\n"


def test_a_short_secret_key_is_refused() -> None:
    done = run("manage.py", "check", SECRET_KEY="short")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "SECRET_KEY is too short" in done.stderr


def test_a_database_that_is_down_is_one_line_without_the_password(tmp_path: Path) -> None:
    done = run("manage.py", "migrate", DATABASE_URL="postgresql://me:hush-hush@127.0.0.1:1/holocron")
    assert done.returncode == 2
    assert done.stderr.startswith("holocron: the database does not answer at 127.0.0.1:1: start it")
    assert done.stderr.count("\n") == 1
    assert "hush-hush" not in done.stderr


def test_the_deployment_check_finds_nothing_behind_tls() -> None:
    done = run(
        "manage.py", "check", "--deploy", "--fail-level", "ERROR", CSRF_TRUSTED_ORIGINS="https://holocron.example"
    )
    assert done.returncode == 0, done.stderr
