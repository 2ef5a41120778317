"""The demo as somebody runs it: all works beside each other, and Ctrl-C leaves nothing running."""

import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from holocron.settings import BASE_DIR
from tests.acceptance.worker_processes import DEADLINE_SECONDS, ProcessWorld, wait_until


@pytest.fixture
def demo(world: ProcessWorld, tmp_path: Path) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    said = tmp_path / "said"
    with said.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", "--here"],
            cwd=BASE_DIR,
            # No model there: the stand-in answers.
            env=world.environment | {"OLLAMA_BASE_URL": "http://127.0.0.1:1"},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    yield process, said
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        process.wait(DEADLINE_SECONDS)
    for table in ("derive_schedulerprocess", "derive_taskstate", "derive_schedulerun", "django_q_ormq", "auth_user"):
        world.sql(f"DELETE FROM {table}")


def running_in(folder: Path) -> list[str]:
    """The commands of manage.py that work in this folder: what their environment says."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"HOLOCRON_VAR={folder}\0".encode() in environment.read_bytes():
                found.append(environment.with_name("cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            # Another's, or gone meanwhile.
            continue
    return [command for command in found if "manage.py" in command]


def test_worker_web_and_scheduler_run_until_ctrl_c_and_nothing_after_it(
    world: ProcessWorld, demo: tuple["subprocess.Popen[bytes]", Path]
) -> None:
    process, said = demo
    wait_until(lambda: "Ctrl-C stops everything" in said.read_text() or process.poll() is not None, "the demo is up")
    assert process.poll() is None, said.read_text()
    (port,) = re.findall(r"http://127\.0\.0\.1:(\d+)", said.read_text().partition("Admin:")[2])
    assert urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10).status == 200
    wait_until(lambda: world.sql("SELECT 1 FROM derive_schedulerprocess"), "the scheduler is heard of")
    names = " ".join(running_in(world.folder))
    assert all(name in names for name in ("run_llm_worker", "runserver", "qcluster"))
    # More than once, as somebody impatient does.
    for _ in range(3):
        process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE_SECONDS) == 0, said.read_text()
    assert running_in(world.folder) == []
    assert "56 of 56 samples ended as expected" in said.read_text()
