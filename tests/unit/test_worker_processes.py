"""How slots, jobs and patience are shared out to several processes."""

import tempfile

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from derive.worker.budget import JobBudget, SharedBudget
from derive.worker.process_numbers import ProcessNumbers
from derive.worker.processes import LONGEST_PAUSE_SECONDS, pause_seconds, slots_of


@pytest.mark.parametrize(
    ("concurrency", "processes", "shared"),
    [(32, 2, [16, 16]), (5, 2, [3, 2]), (7, 3, [3, 2, 2]), (1, 4, [1]), (3, 8, [1, 1, 1])],
)
def test_slots_are_shared_out_to_no_more_processes_than_there_are(
    concurrency: int, processes: int, shared: list[int]
) -> None:
    assert slots_of(concurrency, processes) == shared


def test_a_child_that_ends_soon_again_and_again_is_replaced_ever_later_within_a_bound() -> None:
    assert pause_seconds(0) == 0
    for short_lives in range(1, 40):
        longest = min(LONGEST_PAUSE_SECONDS, 0.5 * 2.0 ** (short_lives - 1))
        assert 0.7 * longest <= pause_seconds(short_lives) <= longest


def test_without_a_limit_jobs_may_be_claimed_for_ever() -> None:
    budget = JobBudget(None)
    assert budget.take(1_000) == 1_000
    assert budget.left > 10**9


def test_processes_claim_no_more_than_they_may_together() -> None:
    with tempfile.TemporaryFile() as file:
        SharedBudget.write(file.fileno(), 5)
        one, other = SharedBudget(file.fileno()), SharedBudget(file.fileno())
        assert one.take(3) == 3
        assert other.take(3) == 2
        assert (one.take(1), one.left, other.left) == (0, 0, 0)
        one.give_back(2)
        assert (other.left, other.take(9)) == (2, 2)


def test_metrics_of_all_processes_are_distinguished_by_a_label() -> None:
    class Processes:
        def numbers(self) -> list[tuple[int, bytes]]:
            return [(number, _numbers(claims=10 * number)) for number in (1, 2)]

    registry = CollectorRegistry()
    registry.register(ProcessNumbers(Processes()))  # type: ignore[arg-type]
    text = generate_latest(registry).decode()
    assert text.count("# TYPE holocron_worker_claims_total counter") == 1
    assert 'holocron_worker_claims_total{process="1"} 10.0' in text
    assert 'holocron_worker_claims_total{process="2"} 20.0' in text


def _numbers(*, claims: int) -> bytes:
    registry = CollectorRegistry()
    Counter("holocron_worker_claims", "Jobs claimed.", registry=registry).inc(claims)
    return generate_latest(registry)
