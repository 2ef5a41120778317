"""A claim costs the same however many jobs wait, and a purge however many are kept."""

from datetime import UTC, datetime, timedelta
from statistics import median

import pytest
from django.db import connection

from derive.queue import JobQueue
from derive.states import JobStatus
from tests.contract.scenes import ACTOR, a_job
from tests.pages_read import pages_read_by_a_claim, pages_read_by_a_dry_purge, take_statistics

pytestmark = pytest.mark.usefixtures("no_autovacuum")

FEW, MANY = 200, 10_000
WARM_CLAIMS, MEASURED_CLAIMS = 12, 15


def pages_of_a_claim() -> float:
    take_statistics()
    for _ in range(WARM_CLAIMS):
        pages_read_by_a_claim()
    return median(pages_read_by_a_claim() for _ in range(MEASURED_CLAIMS))


def test_a_claim_reads_as_little_with_many_jobs_ready_and_waiting_as_with_few() -> None:
    queue = JobQueue()
    queue.enqueue_many([a_job(priority=n % 5) for n in range(FEW)], actor=ACTOR)
    few = pages_of_a_claim()
    later = datetime.now(UTC) + timedelta(days=1)
    queue.enqueue_many([a_job(priority=n % 5) for n in range(MANY)], actor=ACTOR)
    queue.enqueue_many([a_job(priority=1_000, available_utc=later) for _ in range(MANY)], actor=ACTOR)
    many = pages_of_a_claim()
    # An index of 50 times the entries is a level deeper: a page or two for each index that a claim touches.
    assert many <= 1.3 * few + 10, f"{few} pages with few jobs, {many} with many"


def test_many_jobs_of_other_models_do_not_hide_a_workers_own() -> None:
    queue = JobQueue()
    queue.enqueue_many([a_job(model_hint="other", priority=500) for _ in range(2_000)], actor=ACTOR)
    queue.enqueue_many([a_job(model_hint="mine") for _ in range(5)], actor=ACTOR)
    claims = queue.claim("w", model="mine", max_jobs=50)
    assert [claim.model_hint for claim in claims] == ["mine"] * 5


KEPT = 6_000


def pages_of_a_purge() -> int:
    """Return the least of some calls: one reads the catalogue too when the server has just analysed a table."""
    take_statistics()
    return min(pages_read_by_a_dry_purge("FAILED") for _ in range(4))


def kept(**values: str) -> None:
    """Queue jobs that ended long ago and that no purge of what FAILED may take."""
    JobQueue().enqueue_many([a_job() for _ in range(KEPT)], actor=ACTOR)
    columns = ", ".join(f"{name} = '{value}'" for name, value in values.items())
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE llm.job SET {columns} WHERE status = 'NEW'")


@pytest.mark.parametrize(
    "values", [{"status": "SUCCEEDED"}, {"status": "FAILED", "hold_utc": "2020-01-02"}], ids=["other_state", "held"]
)
def test_a_purge_reads_as_little_with_many_jobs_kept_for_ever_as_with_none(values: dict[str, str]) -> None:
    queue = JobQueue()
    queue.enqueue_many([a_job() for _ in range(20)], actor=ACTOR)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE llm.job SET status = 'FAILED', finished_utc = '2024-01-01'")
    few = pages_of_a_purge()
    kept(finished_utc="2020-01-01", **values)
    many = pages_of_a_purge()
    assert many <= 1.3 * few + 30, f"{few} pages with nothing kept, {many} with {KEPT} jobs"


def test_of_several_states_the_oldest_go_first() -> None:
    queue = JobQueue()
    ids = [one.job_id for one in queue.enqueue_many([a_job() for _ in range(6)], actor=ACTOR)]
    with connection.cursor() as cursor:
        for place, job_id in enumerate(ids):
            status = ("FAILED", "CANCELLED")[place % 2]
            cursor.execute(
                f"UPDATE llm.job SET status = '{status}', finished_utc = '2024-01-0{place + 1}' WHERE job_id = %s",
                [job_id],
            )
    rows = queue.purge(
        finished_before_utc=datetime(2025, 1, 1, tzinfo=UTC),
        statuses=[JobStatus.CANCELLED, JobStatus.FAILED, JobStatus.FAILED],
        actor=ACTOR,
        max_rows=4,
        dry_run=True,
    )
    assert [row.job_id for row in rows] == ids[:4]
