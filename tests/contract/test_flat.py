"""A claim costs the same however many jobs wait."""

from datetime import UTC, datetime, timedelta
from statistics import median

from derive.queue import JobQueue
from tests.contract.scenes import ACTOR, a_job
from tests.pages_read import pages_read_by_a_claim

FEW, MANY = 200, 10_000
WARM_CLAIMS, MEASURED_CLAIMS = 12, 15


def pages_of_a_claim() -> float:
    for _ in range(WARM_CLAIMS):
        pages_read_by_a_claim()
    return median(pages_read_by_a_claim() for _ in range(MEASURED_CLAIMS))


def test_a_claim_reads_as_little_with_many_jobs_ready_and_waiting_as_with_few(empty_queue: None) -> None:
    queue = JobQueue()
    queue.enqueue_many([a_job(priority=n % 5) for n in range(FEW)], actor=ACTOR)
    few = pages_of_a_claim()
    later = datetime.now(UTC) + timedelta(days=1)
    queue.enqueue_many([a_job(priority=n % 5) for n in range(MANY)], actor=ACTOR)
    queue.enqueue_many([a_job(priority=1_000, available_utc=later) for _ in range(MANY)], actor=ACTOR)
    many = pages_of_a_claim()
    # An index of 50 times the entries is a level deeper: a page or two for each index that a claim touches.
    assert many <= 1.3 * few + 10, f"{few} pages with few jobs, {many} with many"


def test_many_jobs_of_other_models_do_not_hide_a_workers_own(empty_queue: None) -> None:
    queue = JobQueue()
    queue.enqueue_many([a_job(model_hint="other", priority=500) for _ in range(2_000)], actor=ACTOR)
    queue.enqueue_many([a_job(model_hint="mine") for _ in range(5)], actor=ACTOR)
    claims = queue.claim("w", model="mine", max_jobs=50)
    assert [claim.model_hint for claim in claims] == ["mine"] * 5
