"""Commands write every character, whatever the locale says."""

import os
import pty
import subprocess
import sys

import pytest

from holocron.settings import BASE_DIR

PROGRAM = """
import sys
from holocron.standard_streams import make_writable
make_writable()
for stream in (sys.stdout, sys.stderr):
    print("\\u0141uke \\U0001f680 \\ud800", file=stream, flush=True)
"""
LOCALES = [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]


@pytest.mark.parametrize("locale", LOCALES)
def test_files_and_pipes_get_utf_8(locale: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=BASE_DIR, env={**os.environ, **locale}, capture_output=True, check=True
    )
    assert done.stdout.decode() == done.stderr.decode() == "Łuke \U0001f680 ?\n"


@pytest.mark.parametrize("locale", LOCALES)
def test_a_terminal_gets_what_it_can_show(locale: dict[str, str]) -> None:
    reading, writing = pty.openpty()
    try:
        subprocess.run(
            [sys.executable, "-c", PROGRAM], cwd=BASE_DIR, env={**os.environ, **locale}, stdout=writing, check=True,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert os.read(reading, 1_000) == b"?uke ? ?\r\n"
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.slow
@pytest.mark.parametrize("locale", LOCALES)
def test_every_command_of_manage_py_writes_so(locale: dict[str, str]) -> None:
    program = (
        "import sys, manage, django.core.management as management\n"
        "management.execute_from_command_line = lambda _arguments: print('\\u0141uke')\n"
        "sys.exit(manage.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=BASE_DIR, env={**os.environ, **locale}, capture_output=True, check=True
    )
    assert done.stdout.decode() == "Łuke\n"
