"""An export whose standard output takes no more ends with one line, as a process."""

import subprocess
import sys
from pathlib import Path

from holocron.settings import BASE_DIR
from tests.acceptance.worker_processes import ProcessWorld


def test_a_full_disk_behind_standard_output_is_one_line_and_exit_code_2(world: ProcessWorld, tmp_path: Path) -> None:
    job_id = world.enqueue()
    (claim,) = world.sql("SELECT * FROM llm.usp_claim_next_job(worker_id => 'w')")
    world.sql(
        "SELECT * FROM llm.usp_complete_job(job_id => %s, run_id => %s, status => 'SUCCEEDED', run_json => %s)",
        *(job_id, claim["run_id"], '{"output_json": "{}"}'),
    )
    cursor = tmp_path / "feed.cursor"
    command = [sys.executable, "manage.py", "export_outputs", "-", "--cursor", str(cursor)]
    with Path("/dev/full").open("wb") as full:
        said = subprocess.run(
            command, cwd=BASE_DIR, env=world.environment, check=False, stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert said.returncode == 2, said.stderr
    assert said.stderr.splitlines()[-1:] == [one for one in said.stderr.splitlines() if "No space left" in one]
    assert not cursor.exists()
