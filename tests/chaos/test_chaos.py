"""The chaos run as people start it, for as long as a test may take; every seed must hold, so each run has another."""

import subprocess
import sys

import pytest

from holocron.embedded_postgres.programs import NoProgramsError, find_programs
from tests.chaos.processes import BASE_DIR

SECONDS, WORKERS = 30, 3


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_whatever_goes_wrong_nothing_is_lost_and_nothing_is_done_twice() -> None:
    try:
        find_programs()
    except NoProgramsError as error:
        pytest.skip(f"{error}: chaos needs a PostgreSQL of its own")
    said = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--seconds", str(SECONDS), "--workers", str(WORKERS)],
        cwd=BASE_DIR,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout
    assert "0 violations" in said.stdout
