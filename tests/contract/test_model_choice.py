"""Which model a claim for a server chooses: by the jobs that it could take, and by no others."""

import pytest

from derive.contracts import JobInput, ModelLimits, ServedModel
from derive.queue import JobQueue
from derive.sql import procedures
from tests.contract.scenes import ACTOR, WORKER, claim_one, failure, pass_time, queued
from tests.contract.servers import hints, server, taken
from tests.contract.sessions import a_session, is_free


@pytest.mark.parametrize(("first", "second"), [("b", "b"), (None, None), ("a", None), (None, "a")])
def test_a_models_best_jobs_are_taken_first(queue: JobQueue, first: str | None, second: str | None) -> None:
    queued(queue, model_hint=first, priority=5)
    queued(queue, model_hint=second, priority=7)
    assert [(claim.model_hint, claim.priority) for claim in taken(queue, server())] == [(second, 7)]
    assert [(claim.model_hint, claim.priority) for claim in taken(queue, server())] == [(first, 5)]


def test_of_many_models_each_is_found(queue: JobQueue) -> None:
    for hint in ("d", "b", "c", "e"):
        queued(queue, model_hint=hint)
    assert [hints(taken(queue, server())) for _ in range(5)] == [["d"], ["b"], ["c"], ["e"], []]


def test_jobs_without_a_model_that_others_hold_are_passed_over_down_to_the_next_priority(queue: JobQueue) -> None:
    held, low = (queued(queue, priority=priority) for priority in (9, 5))
    with a_session() as other:
        other.hold(held)
        assert [claim.job_id for claim in taken(queue, server())] == [low.job_id]
        assert taken(queue, server()) == []


@pytest.mark.parametrize("hint", ["b", None])
def test_jobs_that_a_claim_passes_over_make_their_model_look_no_older(queue: JobQueue, hint: str | None) -> None:
    queue.enqueue(JobInput(interrogation_key="refused", input_json="{}", model_hint=hint))
    pass_time(60)
    queued(queue, model_hint="c")
    pass_time(60)
    queued(queue, model_hint=hint)
    claims = queue.claim(WORKER, max_jobs=10, except_interrogations={"refused"}, server=server())
    assert hints(claims) == ["c"]


def test_jobs_for_other_models_make_a_servers_default_look_no_older(queue: JobQueue) -> None:
    for hint in ("b", "c", None):
        queued(queue, model_hint=hint)
        pass_time(60)
    assert hints(taken(queue, server("a", "c"))) == ["c"]


def test_jobs_without_a_model_make_no_other_model_than_the_default_look_older(queue: JobQueue) -> None:
    for hint, seconds in ((None, 180), ("c", 10), ("b", 10)):
        queued(queue, model_hint=hint)
        pass_time(seconds)
    models = [ServedModel(model="b", idle_seconds=100), ServedModel(model="c", idle_seconds=50)]
    assert hints(taken(queue, server(*models))) == ["c"]


def test_a_paused_model_is_not_claimed_by_the_server_that_serves_it(queue: JobQueue) -> None:
    queued(queue, model_hint="b")
    queue.pause_model("b", actor=ACTOR)
    assert taken(queue, server(serving="b")) == []


@pytest.mark.parametrize("limits", [(1, 3), (3, 1)], ids=["running", "starts"])
def test_of_two_limits_the_closer_one_holds(queue: JobQueue, limits: tuple[int, int]) -> None:
    for _ in range(3):
        queued(queue, model_hint="b")
    queue.limit_model("b", ModelLimits(max_running=limits[0], max_starts_per_minute=limits[1]), actor=ACTOR)
    assert len(taken(queue, server())) == 1
    assert taken(queue, server()) == []


def test_runs_of_other_models_count_against_no_limit(queue: JobQueue) -> None:
    queue.limit_model("a", ModelLimits(max_running=9), actor=ACTOR)
    queue.limit_model("b", ModelLimits(max_running=1), actor=ACTOR)
    for hint in ("c", "c", "b", "b"):
        queued(queue, model_hint=hint)
    assert [hints(taken(queue, server())) for _ in range(3)] == [["c", "c"], ["b"], []]


def test_only_starts_of_the_model_itself_count_against_its_limit(queue: JobQueue) -> None:
    for model in ("b", "c"):
        queue.limit_model(model, ModelLimits(max_starts_per_minute=2), actor=ACTOR)
        for _ in range(3):
            queued(queue, model_hint=model)
    first = claim_one(queue, server=server())
    assert first.model_hint == "b"
    assert [hints(taken(queue, server())) for _ in range(3)] == [["c", "c"], ["b"], []]
    queue.complete(failure(first))
    assert taken(queue, server()) == []


def test_a_claim_for_a_limited_model_locks_and_takes_no_more_than_asked(queue: JobQueue) -> None:
    queue.limit_model("m", ModelLimits(max_running=9), actor=ACTOR)
    own = [queued(queue, model_hint="m") for _ in range(3)]
    others = [queued(queue) for _ in range(3)]
    with a_session() as session:
        assert len(session.call(procedures.CLAIM_NEXT_JOB, worker_id=WORKER, model="m", max_jobs=1)) == 1
        assert (sum(map(is_free, own)), sum(map(is_free, others))) == (2, 2)
