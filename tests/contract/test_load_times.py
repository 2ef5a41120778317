"""How long models take to load, as the newest runs tell."""

import json
from typing import Any

import pytest
from django.core.management import call_command

from derive.contracts import RunFacts
from derive.deadline import Deadline
from derive.errors import BadArgument
from derive.models import LanguageModel
from derive.queue import JobQueue
from derive.schedules.maintenance import measure_loads
from derive.schedules.single_flight import TaskOutcome
from derive.sql import procedures
from derive.worker.load_times import known_load_seconds
from tests.contract.scenes import ACTOR, WORKER, claimed, failure, queued, said, success
from tests.contract.sessions import IMPATIENT_MS, a_session


def ran(queue: JobQueue, model: str | None, load_seconds: object, **ends: Any) -> None:
    """Let a job run whose model took so long to load."""
    nanoseconds = round(load_seconds * 1e9) if isinstance(load_seconds, (int, float)) else load_seconds
    run = RunFacts(model_name=model, metrics_json=json.dumps({"load_duration": nanoseconds}))
    claim = claimed(queue)
    queue.complete(failure(claim, run=run) if ends.get("fails") else success(claim, run=run))


def load_ms(model: str = "m") -> int | None:
    row = LanguageModel.objects.filter(model=model).first()
    return None if row is None else row.load_ms


def test_a_models_load_time_is_the_median_of_its_loads(queue: JobQueue) -> None:
    for seconds in (9.0, 3.0, 4.5):
        ran(queue, "m", seconds)
    ran(queue, "another", 60)
    assert queue.measure_loads() == 2
    assert (load_ms(), load_ms("another")) == (4_500, 60_000)


def test_what_is_shorter_than_a_second_is_no_load(queue: JobQueue) -> None:
    for seconds in (0.02, 1.0, 8.0):
        ran(queue, "m", seconds)
    queue.measure_loads()
    assert load_ms() == 8_000


def test_only_the_last_nine_loads_count(queue: JobQueue) -> None:
    for seconds in (100, 100, *[5] * 5, *[7] * 4):
        ran(queue, "m", seconds)
    queue.measure_loads()
    assert load_ms() == 5_000
    ran(queue, "m", 7)
    queue.measure_loads()
    assert load_ms() == 7_000


def test_the_ninth_load_counts(queue: JobQueue) -> None:
    for seconds in (*[9] * 5, *[2] * 4):
        ran(queue, "m", seconds)
    queue.measure_loads()
    assert load_ms() == 9_000


def test_of_two_loads_in_the_middle_the_shorter_one_counts(queue: JobQueue) -> None:
    for seconds in (4, 2):
        ran(queue, "m", seconds)
    queue.measure_loads()
    assert load_ms() == 2_000


def test_no_more_runs_are_read_than_asked_for(queue: JobQueue) -> None:
    for model in ("older", "newer"):
        ran(queue, model, 3)
    assert said(procedures.MEASURE_LOADS, max_runs=1) == [(1,)]
    assert (load_ms("older"), load_ms("newer")) == (None, 3_000)


def test_a_change_of_load_times_waits_for_claims_under_way(queue: JobQueue) -> None:
    ran(queue, "m", 3)
    queued(queue)
    with a_session() as other, a_session(wait_ms=IMPATIENT_MS) as session:
        other.call(procedures.CLAIM_NEXT_JOB, worker_id=WORKER)
        assert session.has_to_wait(procedures.MEASURE_LOADS)


def test_a_failed_runs_load_counts_and_what_is_no_number_does_not(queue: JobQueue) -> None:
    ran(queue, "m", 6, fails=True)
    for said_so in ("many", None, 1.5e300, -5_000_000_000, [1], {"ns": 9}):
        ran(queue, "m", said_so if not isinstance(said_so, float) else str(said_so))
    ran(queue, None, 30)
    queue.measure_loads()
    assert load_ms() == 6_000
    assert LanguageModel.objects.count() == 1


def test_nothing_new_changes_nothing_and_what_operators_set_stays(queue: JobQueue) -> None:
    queue.pause_model("m", actor=ACTOR, reason="maintenance")
    ran(queue, "m", 3)
    assert [queue.measure_loads(), queue.measure_loads()] == [1, 0]
    assert LanguageModel.objects.get(model="m").pause_reason == "maintenance"


def test_a_model_without_a_recent_load_keeps_its_time(queue: JobQueue) -> None:
    ran(queue, "m", 3)
    queue.measure_loads()
    for _ in range(2):
        ran(queue, "m", 0)
    assert said(procedures.MEASURE_LOADS, max_runs=2)[0][0] == 0
    assert load_ms() == 3_000


@pytest.mark.parametrize("max_runs", [0, 100_001])
def test_how_far_to_look_is_bounded(queue: JobQueue, max_runs: int) -> None:
    with pytest.raises(BadArgument, match="HC047"):
        said(procedures.MEASURE_LOADS, max_runs=max_runs)


def test_a_worker_that_starts_knows_what_was_measured(queue: JobQueue) -> None:
    assert known_load_seconds() == {}
    queue.pause_model("unmeasured", actor=ACTOR)
    ran(queue, "m", 4.5)
    queue.measure_loads()
    assert known_load_seconds() == {"m": 4.5}


def test_the_list_of_models_has_their_load_times(queue: JobQueue, capsys: pytest.CaptureFixture[str]) -> None:
    ran(queue, "m", 12.34)
    queue.measure_loads()
    call_command("models")
    assert "12.3 s" in capsys.readouterr().out


def test_the_scheduler_measures(queue: JobQueue) -> None:
    ran(queue, "m", 3)
    assert [measure_loads(Deadline(60)).outcome for _ in range(2)] == [TaskOutcome.DONE, TaskOutcome.IDLE]
