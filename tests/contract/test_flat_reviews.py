"""The next fact to review costs the same however many are open, and however many opinions somebody has given."""

from statistics import median

import pytest
from django.db import connection

from derive.models import Fact
from derive.queue import JobQueue
from tests.contract.facts import told
from tests.contract.test_reviewing import doubted
from tests.pages_read import pages_read_by_a_fact_claim, take_statistics, wait_for_older_snapshots

pytestmark = pytest.mark.usefixtures("no_autovacuum")

FEW, MANY = 200, 10_000
WARM, MEASURED = 12, 15


def pages_of_a_claim(who: str = "ann") -> float:
    """Return what a claim reads of what is there: not of the versions that this or another test left behind.

    The least of three looks: a snapshot that opens meanwhile, such as autovacuum's of the catalogue, keeps dead rows.
    """
    return min(_median_of_claims(who) for _ in range(3))


def _median_of_claims(who: str) -> float:
    wait_for_older_snapshots()
    release_claimed_facts()
    for _ in range(WARM):
        pages_read_by_a_fact_claim(who)
    return median(pages_read_by_a_fact_claim(who) for _ in range(MEASURED))


def release_claimed_facts() -> None:
    """Let each look begin alike: nobody holds a fact, and facts lie on their pages in the order they were told."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE llm.fact SET review_claimed_by = NULL, review_claim_expires_utc = NULL "
            "WHERE review_claimed_by IS NOT NULL"
        )
        if connection.vendor == "postgresql":
            cursor.execute("CLUSTER llm.fact USING ux_fact_seq")
            cursor.execute("VACUUM llm.fact, llm.fact_review")


def test_the_next_fact_costs_as_much_with_many_open_as_with_few() -> None:
    queue = JobQueue()
    told(queue, *(doubted(n, fact_key=f"key-{n}") for n in range(FEW)))
    take_statistics()
    few = pages_of_a_claim()
    told(queue, *(doubted(n, fact_key=f"key-{n}") for n in range(MANY)), entity_id="leia", priority=7)
    take_statistics()
    many = pages_of_a_claim()
    assert many <= 1.3 * few + 10, f"{few} pages with few facts, {many} with many"


def let_ann_accept(fewer_than: int) -> None:
    """Give the facts of one run the opinion of one of two reviewers."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO llm.fact_review (fact_id, run_id, job_id, fact_index, decision, from_status, to_status, "
            "at_utc, actor, because, interrogation_key, proof, verdict) SELECT f.fact_id, f.run_id, f.job_id, "
            "f.fact_index, 'ACCEPTED', 'OPEN', 'OPEN', '2026-01-01', 'ann', 'verdict', f.interrogation_key, f.proof, "
            "f.verdict FROM llm.fact AS f WHERE f.entity_id = 'leia' AND f.review_round = 0 AND f.fact_index < %s",
            [fewer_than],
        )
        cursor.execute(
            "UPDATE llm.fact SET review_round = 1 WHERE entity_id = 'leia' AND fact_index < %s", [fewer_than]
        )


def take_statistics_of_facts_that_nobody_reviews() -> None:
    """Let the planner believe that no fact waits for a review, as hardly one does where models do well."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("UPDATE llm.fact SET review_priority = NULL")
            cursor.execute("ANALYZE llm.fact")
            cursor.execute("UPDATE llm.fact SET review_priority = CASE entity_id WHEN 'leia' THEN 7 ELSE 100 END")


def test_the_next_fact_costs_as_much_after_many_opinions_that_wait_for_a_second() -> None:
    queue = JobQueue()
    told(queue, *(doubted(n, fact_key=f"key-{n}") for n in range(FEW)))
    told(queue, *(doubted(n, fact_key=f"key-{n}") for n in range(MANY)), entity_id="leia", priority=7)
    take_statistics_of_facts_that_nobody_reviews()
    let_ann_accept(FEW)
    few = pages_of_a_claim()
    let_ann_accept(MANY)
    many = pages_of_a_claim()
    assert many <= 1.3 * few + 30, f"{few} pages after few opinions, {many} after many"
    assert queue.claim_facts(actor="ben")[0].fact_id == Fact.objects.get(entity_id="leia", fact_index=0).fact_id
