"""Several connections at once doing whatever comes: afterwards the rows alone must tell one story that makes sense."""

import random
from functools import partial

import pytest

from derive.contracts import Claim, JobRef
from derive.models import Job, JobEvent, Run
from derive.queue import JobQueue
from derive.states import JobStatus
from tests.contract.conftest import every_history_holds_together
from tests.contract.scenes import ACTOR, a_job, at_once, cancelled, failure, pass_time, success
from tests.contract.stories import every_count_is_right, no_runs_of_a_job_overlap

CONNECTIONS = 5
OPERATIONS = 60
JOBS = 12
ROUNDS = 3


def _act(queue: JobQueue, name: str, rng: random.Random, mine: list[Claim]) -> None:
    """Do one thing at random; ``mine`` are the claims of this connection, also those it has lost since."""
    refs = [JobRef(job_id=job_id) for job_id in Job.objects.values_list("job_id", flat=True)]
    some = rng.sample(refs, min(3, len(refs)))
    deed = rng.choice(["claim", "claim", "claim", "end", "end", "end", "release", "beat", "cancel", "requeue", "reap"])
    if deed == "claim":
        mine += queue.claim(name, max_jobs=rng.randint(1, 3), lease_seconds=30)
    elif deed == "cancel":
        queue.cancel(some, actor=ACTOR)
    elif deed == "requeue":
        queue.requeue(some, actor=ACTOR)
    elif deed == "reap":
        queue.reap()
    elif deed == "beat":
        queue.heartbeat(name, [claim.run_id for claim in mine], lease_seconds=30)
    elif mine and deed == "release":
        queue.release(rng.choice(mine).run_id)
    elif mine:
        claim = rng.choice(mine[-5:])
        retry = failure(claim, retry_after_seconds=0, count_attempt=rng.random() < 0.5)
        queue.complete(rng.choice([success(claim), failure(claim), retry, retry, cancelled(claim)]))
    queue.enqueue(a_job(dedupe_key=rng.choice("abcdef")), actor=ACTOR)


def _live(name: str, seed: str, mine: list[Claim]) -> int:
    queue, rng = JobQueue(), random.Random(seed)
    for _ in range(OPERATIONS):
        _act(queue, name, rng, mine)
    return len(mine)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_many_connections_do_the_rows_tell_one_story(queue: JobQueue, seed: int) -> None:
    queue.enqueue_many([a_job(priority=n % 3) for n in range(JOBS)], actor=ACTOR)
    claims: list[list[Claim]] = [[] for _ in range(CONNECTIONS)]
    for turn in range(ROUNDS):
        at_once(*(partial(_live, f"worker-{n}", f"{seed}-{turn}-{n}", claims[n]) for n in range(CONNECTIONS)))
        every_history_holds_together()
        every_count_is_right()
        no_runs_of_a_job_overlap()
        # All leases run out at once, and the next turn begins with work that others hold.
        pass_time(60)
    runs = {run.run_id: run for run in Run.objects.all()}
    known = [claim for mine in claims for claim in mine]
    assert {claim.run_id for claim in known} == runs.keys(), "a run was claimed by nobody, or by two"
    assert len(known) == len(runs) > JOBS
    assert all(runs[claim.run_id].job_id == claim.job_id for claim in known)
    assert JobEvent.objects.filter(event="lease_expired").exists()
    assert Job.objects.filter(status=JobStatus.SUCCEEDED).exists()
