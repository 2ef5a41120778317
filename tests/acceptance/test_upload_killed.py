"""The process that queues an upload is killed in the middle of its transaction."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.command_world import World, count, line, migrated

IMPORT = "0190a0b0c0d0400080000000000000f0"
QUEUE = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from shutil import copy
from uuid import UUID
from derive.intake import spool
from derive.intake.line_format import LineFormat
from derive.intake.upload import Upload
from derive.intake.upload_state import UploadState
from derive.interrogations.registry import Registry
from derive.queue import JobQueue

file, folder, stop_at, import_id = Path({file!r}), Path({folder!r}), {stop_at}, UUID({import_id!r})
spool.BATCH_JOBS = 2
upload = Upload(folder, import_id=import_id)
if not folder.exists():
    name = str(copy(file, file.with_suffix(".arrived")))
    form, size = LineFormat.JSONL, file.stat().st_size
    upload.begin(UploadState(name="jobs", line_format=form, size_bytes=size, uploaded_utc=datetime.now(UTC)), name)
    upload.check(Registry.load(None), sender="ada", seconds=60)

class Stopping(JobQueue):
    def enqueue_whole(self, batches, **more):
        def told():
            for number, batch in enumerate(batches()):
                if number == stop_at:
                    print("in the middle", flush=True)
                    sys.stdin.read()
                yield batch
        answers = super().enqueue_whole(told, **more)
        if stop_at == "after":
            print("in the middle", flush=True)
            sys.stdin.read()
        return answers

state = upload.queue(Stopping(), actor="ada", reason="asked for")
print("queued", state.queued, state.duplicates, flush=True)
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, migrated_cluster: Path) -> Iterator[World]:
    with migrated(tmp_path_factory.mktemp("world"), migrated_cluster) as made:
        yield made


@pytest.fixture
def database(world: World) -> Iterator[Any]:
    with world.connect() as connection:
        yield connection
        connection.execute("TRUNCATE llm.job_event, llm.job CASCADE")


@pytest.mark.parametrize(("stop_at", "stored"), [(2, 0), ("after", 5)])
def test_all_or_nothing_is_queued_and_the_next_request_comes_to_the_same(
    world: World, database: Any, tmp_path: Path, stop_at: Any, stored: int
) -> None:
    """The next one ends as if the killed one had never been, or as that had ended."""
    file = tmp_path / "jobs.jsonl"
    keys = ["a", "b", "b", "c", "d", "e"]
    file.write_text("\n".join(line(str(n), dedupe_key=key) for n, key in enumerate(keys)))

    def script(stop_at: Any) -> str:
        return QUEUE.format(file=str(file), folder=str(tmp_path / "upload"), stop_at=repr(stop_at), import_id=IMPORT)

    killed = world.start("shell", "-c", script(stop_at))
    assert killed.stdout is not None
    while (told := killed.stdout.readline()) and told != "in the middle\n":
        pass
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert count(database) == stored
    assert database.execute("SELECT count(*) FROM llm.job_event").fetchone() == (stored,)
    code, printed, complained = world.run("shell", "-c", script(None))
    assert code == 0, complained
    assert printed.splitlines()[-1] == "queued 5 1"
    assert count(database) == 5
    assert json.loads((tmp_path / "upload" / "state.json").read_text())["is_queued"]
