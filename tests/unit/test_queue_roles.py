"""A worker's face of the queue holds what a worker may do, and nothing else."""

from pathlib import Path

import derive.worker
from derive.queue import JobQueue
from derive.queue.worker import WorkerQueue

OTHERS = ("purge", "cancel", "requeue", "set_hold", "enqueue", "record_lake_deletions", "record_seal")


def test_a_worker_has_no_way_to_purge_or_to_act_as_an_operator() -> None:
    assert [name for name in OTHERS if hasattr(WorkerQueue, name)] == []
    assert [name for name in OTHERS if not hasattr(JobQueue, name)] == []


def test_no_module_of_the_worker_takes_the_whole_queue() -> None:
    folder = Path(derive.worker.__file__).parent
    assert [path.name for path in folder.glob("*.py") if "JobQueue" in path.read_text("utf-8")] == []
