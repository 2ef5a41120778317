"""What must hold when several act at the same moment, each on a connection of its own."""

import itertools
import random
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import uuid4

from derive.contracts import Claim, Completion, Enqueued, JobChange, Lease, Reaped
from derive.models import Job, Run
from derive.queue import JobQueue
from derive.states import JobStatus, RunStatus
from tests.contract.babelfish import Lack, lacks
from tests.contract.scenes import (
    ACTOR,
    a_job,
    an_artifact,
    at_once,
    claim_one,
    claimed,
    failure,
    job_of,
    pass_time,
    queued,
    ref,
    run_of,
    status_of,
    success,
)

WORKERS = 6


def _answers(*actions: Callable[[], Any]) -> list[Any]:
    """Run actions whose answers differ in kind."""
    return at_once(*actions)


def test_many_connections_claim_disjoint_jobs(queue: JobQueue) -> None:
    queue.enqueue_many([a_job(priority=n % 7) for n in range(120)], actor=ACTOR)

    def work(name: str) -> list[Claim]:
        taken: list[Claim] = []
        while claims := queue.claim(name, max_jobs=3):
            taken += claims
        return taken

    answers = at_once(*(partial(work, f"worker-{n}") for n in range(WORKERS)))
    job_ids = [claim.job_id for claims in answers for claim in claims]
    # A worker may find nothing while the last rows are locked by others; nothing may be claimed twice.
    rest = [claim.job_id for claim in queue.claim("last", max_jobs=200)]
    assert len(job_ids) == len(set(job_ids))
    assert len(job_ids) + len(rest) == 120 == Run.objects.count()


def test_workers_for_different_models_and_for_any_claim_disjoint_jobs(queue: JobQueue) -> None:
    models = (None, "a", "b")
    queue.enqueue_many([a_job(model_hint=models[n % 3], priority=n % 5) for n in range(90)], actor=ACTOR)

    def work(name: str, model: str | None) -> list[Claim]:
        taken: list[Claim] = []
        while claims := queue.claim(name, max_jobs=4, model=model):
            taken += claims
        return taken

    answers = at_once(*(partial(work, f"worker-{n}", models[n % 3]) for n in range(WORKERS)))
    for n, claims in enumerate(answers):
        assert models[n % 3] is None or {claim.model_hint for claim in claims} <= {None, models[n % 3]}
    job_ids = [claim.job_id for claims in answers for claim in claims]
    job_ids += [claim.job_id for claim in queue.claim("last", max_jobs=200)]
    assert len(job_ids) == len(set(job_ids)) == 90


def test_concurrent_enqueues_of_one_key_store_one_job(queue: JobQueue) -> None:
    for key in ("a", "b", "c"):
        answers = at_once(*(partial(queue.enqueue, a_job(dedupe_key=key), actor=ACTOR) for _ in range(WORKERS)))
        assert len({answer.job_id for answer in answers}) == 1
        assert Counter(answer.is_duplicate for answer in answers) == {False: 1, True: WORKERS - 1}
    assert Job.objects.count() == 3


def test_concurrent_batches_with_common_keys_store_each_key_once(queue: JobQueue) -> None:
    keys = [f"key-{n}" for n in range(60)]

    def enqueue(seed: int) -> list[Enqueued]:
        shuffled = random.Random(seed).sample(keys, len(keys))
        return queue.enqueue_many([a_job(dedupe_key=key) for key in shuffled], actor=ACTOR)

    answers = at_once(*(partial(enqueue, seed) for seed in range(4)))
    assert Job.objects.count() == 60
    assert sum(not answer.is_duplicate for batch in answers for answer in batch) == 60


def test_the_same_job_said_at_once_is_stored_once(queue: JobQueue) -> None:
    job = a_job(job_id=uuid4())
    answers = at_once(*(partial(queue.enqueue, job, actor=ACTOR) for _ in range(WORKERS)))
    assert {(answer.job_id, answer.is_duplicate) for answer in answers} == {(job.job_id, False)}


def test_a_requeue_and_an_enqueue_of_the_same_key_leave_one_holder(queue: JobQueue) -> None:
    for n in range(5):
        claim = claimed(queue, dedupe_key=f"key-{n}")
        queue.complete(failure(claim))

        def requeue(claim: Claim = claim) -> Any:
            return queue.requeue([ref(claim)], actor=ACTOR)[0].changed

        def enqueue(key: str = f"key-{n}") -> Any:
            return not queue.enqueue(a_job(dedupe_key=key), actor=ACTOR).is_duplicate

        assert sum(at_once(requeue, enqueue)) == 1
        holders = Job.objects.filter(dedupe_key=f"key-{n}", status=JobStatus.NEW)
        assert len(holders) == 1
        queue.cancel([ref(holders[0])], actor=ACTOR)


def test_a_run_completed_while_it_is_reaped_ends_once(queue: JobQueue) -> None:
    outcomes: Counter[bool] = Counter()
    for _ in range(15):
        claim = claimed(queue)
        pass_time(3600)
        complete = partial(queue.complete, success(claim, artifacts=(an_artifact(),)))
        completion, reaped = _answers(complete, queue.reap)
        assert isinstance(completion, Completion)
        assert completion.accepted != bool(reaped)
        assert status_of(claim) == (JobStatus.SUCCEEDED if completion.accepted else JobStatus.NEW)
        outcomes[completion.accepted] += 1
        if not completion.accepted:
            queue.cancel([ref(claim)], actor=ACTOR)
    assert sum(outcomes.values()) == 15


def test_a_stale_completion_never_ends_the_run_after_it(queue: JobQueue) -> None:
    for _ in range(10):
        stale = claimed(queue, max_attempts=9)
        pass_time(3600)
        queue.reap()
        fresh = claim_one(queue, "worker-2")
        answers = at_once(partial(queue.complete, failure(stale)), partial(queue.complete, success(fresh)))
        assert [answer.accepted for answer in answers] == [False, True]
        assert run_of(stale).error_kind == "lease_expired"
        assert run_of(fresh).status == RunStatus.SUCCEEDED


@lacks(Lack.CONCURRENT_APPLOCKS)
def test_two_reapers_reap_each_run_once(queue: JobQueue) -> None:
    queue.enqueue_many([a_job() for _ in range(40)], actor=ACTOR)
    queue.claim("worker-1", max_jobs=40)
    pass_time(3600)

    def reap() -> list[Reaped]:
        found: list[Reaped] = []
        while rows := queue.reap(max_rows=5):
            found += rows
        return found

    answers = at_once(reap, reap, reap)
    run_ids = [row.run_id for rows in answers for row in rows] + [row.run_id for row in queue.reap()]
    assert len(run_ids) == len(set(run_ids)) == 40


def test_a_job_cancelled_while_it_is_claimed_is_either_cancelled_or_asked_to_stop(queue: JobQueue) -> None:
    for _ in range(20):
        job = queued(queue)
        claims, changes = _answers(partial(queue.claim, "worker-1"), partial(queue.cancel, [ref(job)], actor=ACTOR))
        (change,) = changes
        assert isinstance(change, JobChange)
        assert change.changed
        if claims:
            assert change.to_status == JobStatus.RUNNING
            assert queue.release(claims[0].run_id).final_status == JobStatus.CANCELLED
        else:
            assert change.to_status == JobStatus.CANCELLED
        assert status_of(job) == JobStatus.CANCELLED


def test_a_heartbeat_and_a_reaper_agree_on_who_has_the_run(queue: JobQueue) -> None:
    for _ in range(10):
        claim = claimed(queue)
        pass_time(3600)
        leases, reaped = _answers(partial(queue.heartbeat, "worker-1", [claim.run_id]), queue.reap)
        (lease,) = leases
        assert isinstance(lease, Lease)
        held = run_of(claim).status == RunStatus.RUNNING
        assert held != bool(reaped)
        if held:
            assert lease.state == "held"
            queue.release(claim.run_id)
        queue.cancel([ref(claim)], actor=ACTOR)


def test_one_completion_said_at_once_by_many_is_stored_once(queue: JobQueue) -> None:
    claim = claimed(queue)
    outcome = success(claim, artifacts=(an_artifact(),))
    answers = at_once(*(partial(queue.complete, outcome) for _ in range(WORKERS)))
    assert {(answer.accepted, answer.final_status) for answer in answers} == {(True, JobStatus.SUCCEEDED)}


def test_operators_who_change_the_same_jobs_in_different_orders_do_not_block_each_other(queue: JobQueue) -> None:
    answers = queue.enqueue_many([a_job() for _ in range(50)], actor=ACTOR)
    forth = [ref(answer) for answer in answers]
    back = forth[::-1]
    actions = [
        partial(queue.reprioritize, order, actor=ACTOR, priority=priority)
        for priority, order in zip(range(1, 5), itertools.cycle((forth, back)), strict=False)
    ]
    changes = at_once(*actions)
    assert all(change.changed for batch in changes for change in batch)
    assert len({job.priority for job in Job.objects.all()}) == 1


def test_claims_heartbeats_completions_reaping_and_operators_leave_every_history_whole(queue: JobQueue) -> None:
    answers = queue.enqueue_many([a_job(max_attempts=2, priority=n % 3) for n in range(80)], actor=ACTOR)
    refs = [ref(answer) for answer in answers]

    def work(name: str) -> int:
        rng, done = random.Random(name), 0
        while claims := queue.claim(name, max_jobs=2, lease_seconds=60):
            queue.heartbeat(name, [claim.run_id for claim in claims])
            for claim in claims:
                outcome = rng.choice((success(claim), failure(claim), failure(claim, retry_after_seconds=0)))
                if rng.random() < 0.2:
                    queue.release(claim.run_id)
                else:
                    done += queue.complete(outcome).accepted
        return done

    def operate() -> int:
        rng = random.Random(1)
        for _ in range(15):
            chosen = rng.sample(refs, 10)
            queue.cancel(chosen, actor=ACTOR)
            queue.requeue(chosen, actor=ACTOR)
            queue.reprioritize(chosen, actor=ACTOR, priority=rng.randrange(200))
            queue.reap()
        return 0

    assert sum(at_once(*(partial(work, f"worker-{n}") for n in range(3)), operate)) > 0
    for claim in queue.claim("last", max_jobs=200):
        assert job_of(claim).status == JobStatus.RUNNING
