"""Models: which one a claim takes, pauses, and limits that hold whatever the number of workers."""

import json
from datetime import timedelta
from functools import partial

import pytest
from django.db import connection

from derive.contracts import ANY_MODEL, JobInput, ModelLimits, ModelServer, ServedModel
from derive.errors import BadArgument
from derive.models import LanguageModel
from derive.queue import JobQueue
from derive.sql import procedures
from tests.contract.scenes import ACTOR, WORKER, at_once, claim_one, failure, pass_time, queued, run_of, said
from tests.contract.servers import hints, server, taken
from tests.contract.sessions import IMPATIENT_MS, a_session


def test_a_claim_for_a_server_is_of_one_model(queue: JobQueue) -> None:
    for hint in ("b", "c", "b", "c"):
        queued(queue, model_hint=hint)
    assert hints(taken(queue, server())) == ["b", "b"]
    assert hints(taken(queue, server())) == ["c", "c"]


def test_a_server_goes_on_with_the_model_it_serves_though_another_waits_for_longer(queue: JobQueue) -> None:
    queued(queue, model_hint="b")
    queued(queue, model_hint="c")
    assert hints(taken(queue, server(serving="c"))) == ["c"]


def test_priority_comes_before_the_model_that_is_served(queue: JobQueue) -> None:
    queued(queue, model_hint="b", priority=101)
    queued(queue, model_hint="c")
    assert hints(taken(queue, server(serving="c"))) == ["b"]


def test_a_claim_for_a_server_is_of_one_priority(queue: JobQueue) -> None:
    queued(queue, model_hint="b", priority=5)
    queued(queue, model_hint="b", priority=7)
    assert [claim.priority for claim in taken(queue, server(serving="b"))] == [7]


def test_with_time_to_switch_the_served_model_comes_last(queue: JobQueue) -> None:
    queued(queue, model_hint="b")
    queued(queue, model_hint="c")
    assert hints(taken(queue, server(serving="b", stay=False))) == ["c"]
    assert hints(taken(queue, server(serving="b", stay=False))) == ["b"]


def test_the_next_model_is_the_one_with_the_fewest_running_runs(queue: JobQueue) -> None:
    queued(queue, model_hint="b")
    claim_one(queue)
    queued(queue, model_hint="b")
    queued(queue, model_hint="c")
    assert hints(taken(queue, server())) == ["c"]


def test_of_equally_busy_models_the_one_that_has_waited_longest_is_next(queue: JobQueue) -> None:
    queued(queue, model_hint="c")
    pass_time(60)
    queued(queue, model_hint="b")
    assert hints(taken(queue, server())) == ["c"]


def test_a_model_that_was_served_lately_has_not_waited_since_its_first_job_came(queue: JobQueue) -> None:
    for hint in ("b", "c", "d"):
        queued(queue, model_hint=hint)
        pass_time(60)
    models = [ServedModel(model="b", idle_seconds=10), ServedModel(model="c", idle_seconds=30), ServedModel(model="d")]
    assert hints(taken(queue, server(*models))) == ["d"]
    assert hints(taken(queue, server(*models))) == ["c"]


def test_jobs_without_a_model_are_jobs_for_the_servers_default(queue: JobQueue) -> None:
    queued(queue, model_hint="b")
    queued(queue)
    queued(queue, model_hint="a")
    claims = taken(queue, server(serving="a", default="a"))
    assert hints(claims) == [None, "a"]
    assert [run_of(claim).model_name for claim in claims] == ["a", "a"]


def test_a_server_gets_no_jobs_for_models_that_it_cannot_serve(queue: JobQueue) -> None:
    queued(queue, model_hint="b", priority=109)
    queued(queue)
    queued(queue, model_hint="c")
    assert hints(taken(queue, server("c", default="a"))) == ["c"]
    assert taken(queue, server("c", default="a")) == []
    assert hints(taken(queue, server("a", "c", default="a"))) == [None]


def test_a_paused_model_is_never_claimed_whoever_asks(queue: JobQueue) -> None:
    queued(queue, model_hint="b", priority=109)
    other = queued(queue, model_hint="c")
    assert queue.pause_model("b", actor=ACTOR, reason="maintenance")
    assert queue.claim(WORKER, model="b") == []
    assert taken(queue, server("b")) == []
    assert claim_one(queue).job_id == other.job_id
    assert queue.claim(WORKER) == []
    assert queue.resume_model("b", actor=ACTOR)
    assert hints(queue.claim(WORKER)) == ["b"]


def test_a_server_that_serves_any_model_can_tell_of_some_when_it_served_them(queue: JobQueue) -> None:
    for hint in ("b", "c"):
        queued(queue, model_hint=hint)
        pass_time(60)
    models = [ServedModel(model="b", idle_seconds=10), ServedModel(model=ANY_MODEL)]
    assert [hints(taken(queue, server(*models))) for _ in range(2)] == [["c"], ["b"]]


def test_a_server_without_models_gets_jobs_in_strict_order(queue: JobQueue) -> None:
    for hint in ("b", None, "c"):
        queued(queue, model_hint=hint)
    assert hints(taken(queue, ModelServer(default="a"))) == ["b", None, "c"]


def test_a_server_of_some_models_can_get_them_in_strict_order(queue: JobQueue) -> None:
    for hint, priority in (("b", 5), (None, 5), ("c", 5), ("b", 5), ("d", 9), ("c", 3)):
        queued(queue, model_hint=hint, priority=priority)
    strict = server("a", "b", "d", default="a", stay=None)
    assert hints(taken(queue, strict, max_jobs=2)) == ["d"]
    assert hints(taken(queue, strict, max_jobs=2)) == ["b", None]
    assert hints(taken(queue, strict, max_jobs=2)) == ["b"]
    assert taken(queue, strict) == []


def test_strict_order_holds_beside_paused_models_whatever_runs(queue: JobQueue) -> None:
    queue.pause_model("z", actor=ACTOR, reason="maintenance")
    for hint in ("z", "z", "b", "c", "b", None, "c"):
        queued(queue, model_hint=hint)
    assert [hints(taken(queue, ModelServer(default="a"), max_jobs=1)) for _ in range(5)] == [
        ["b"],
        ["c"],
        ["b"],
        [None],
        ["c"],
    ]
    assert taken(queue, ModelServer(default="a")) == []


def test_strict_order_holds_beside_limits(queue: JobQueue) -> None:
    queue.limit_model("c", ModelLimits(max_running=1), actor=ACTOR)
    for hint in ("b", "c", "c", "b"):
        queued(queue, model_hint=hint)
    assert [hints(queue.claim(WORKER, max_jobs=5)) for _ in range(4)] == [["b"], ["c"], ["b"], []]


def test_strict_order_passes_over_what_others_hold(queue: JobQueue) -> None:
    queue.pause_model("z", actor=ACTOR, reason="maintenance")
    queued(queue, model_hint="z", priority=5)
    held = queued(queue, model_hint="b", priority=5)
    free = queued(queue, model_hint="c", priority=5)
    low = queued(queue, model_hint="b", priority=4)
    with a_session() as other:
        other.hold(held)
        assert [claim_one(queue).job_id for _ in range(2)] == [free.job_id, low.job_id]
        assert queue.claim(WORKER) == []


@pytest.mark.parametrize("stay", [True, None])
@pytest.mark.parametrize("hint", ["m5", None])
def test_models_that_a_server_has_not_hide_none_that_it_has(
    queue: JobQueue, hint: str | None, stay: bool | None
) -> None:
    for number in range(20):
        queued(queue, model_hint=f"x{number}", priority=200 + number % 3)
    queued(queue, model_hint=hint, priority=7)
    queued(queue, model_hint="m6", priority=5)
    some = server("a", *(f"m{number}" for number in range(10)), serving="m6", stay=stay)
    assert hints(taken(queue, some)) == [hint]
    assert hints(taken(queue, some)) == ["m6"]
    assert taken(queue, some) == []


@pytest.mark.parametrize("hint", ["b", None])
def test_jobs_of_the_highest_priority_that_there_is_are_found(queue: JobQueue, hint: str | None) -> None:
    queued(queue, model_hint=hint, priority=2**31 - 1)
    assert hints(taken(queue, server(serving="c"))) == [hint]


def test_a_claim_tells_the_context_of_the_models_that_have_their_own(queue: JobQueue) -> None:
    queue.limit_model("a", ModelLimits(num_ctx=4096, num_predict=512), actor=ACTOR)
    queue.limit_model("b", ModelLimits(num_ctx=16384), actor=ACTOR)
    for hint in (None, "a", "b", "c"):
        queued(queue, model_hint=hint)
    claims = taken(queue, ModelServer(default="a"))
    assert [(claim.num_ctx, claim.num_predict) for claim in claims] == [
        (4096, 512),
        (4096, 512),
        (16384, None),
        (None, None),
    ]


def test_pausing_a_servers_default_pauses_jobs_without_a_model_there(queue: JobQueue) -> None:
    queued(queue)
    queue.pause_model("a", actor=ACTOR)
    assert taken(queue, server(default="a")) == []
    assert taken(queue, server(default="b")) != []


def test_a_pause_keeps_who_when_and_why_until_it_ends(queue: JobQueue) -> None:
    assert queue.pause_model(" b ", actor=ACTOR, reason="maintenance")
    assert not queue.pause_model("b", actor="somebody else", reason="another")
    row = LanguageModel.objects.get(model="b")
    assert (row.paused_by, row.pause_reason) == (ACTOR, "maintenance")
    assert row.paused_utc is not None
    assert queue.resume_model("b", actor=ACTOR, reason="done")
    row = LanguageModel.objects.get(model="b")
    assert (row.paused_utc, row.paused_by, row.pause_reason) == (None, None, None)
    assert events_of("b") == [
        ("model_paused", ACTOR, "maintenance", None),
        ("model_resumed", ACTOR, "done", None),
    ]


def test_what_one_model_has_already_is_news_of_another(queue: JobQueue) -> None:
    assert queue.pause_model("a", actor=ACTOR)
    assert queue.pause_model("b", actor=ACTOR)
    assert [event for event, *_ in events_of("b")] == ["model_paused"]


def test_a_change_of_a_model_waits_for_claims_under_way(queue: JobQueue) -> None:
    queued(queue)
    with a_session() as other, a_session(wait_ms=IMPATIENT_MS) as session:
        other.call(procedures.CLAIM_NEXT_JOB, worker_id=WORKER)
        assert session.has_to_wait(procedures.SET_MODEL, model="b", actor=ACTOR, paused=True)


def test_limits_that_are_given_change_the_others_stay_and_all_is_on_record(queue: JobQueue) -> None:
    assert queue.limit_model("b", ModelLimits(max_running=2, num_ctx=4096), actor=ACTOR, reason="one GPU")
    assert queue.limit_model("b", ModelLimits(max_running=None, max_starts_per_minute=30), actor=ACTOR)
    assert not queue.limit_model("b", ModelLimits(num_ctx=4096), actor=ACTOR)
    row = LanguageModel.objects.get(model="b")
    assert (row.max_running, row.max_starts_per_minute, row.num_ctx, row.num_predict) == (None, 30, 4096, None)
    none: dict[str, int | None] = dict.fromkeys(ModelLimits.model_fields)
    assert [(event, reason, json.loads(detail or "")) for event, _actor, reason, detail in events_of("b")] == [
        ("model_limits_changed", "one GPU", none | {"max_running": 2, "num_ctx": 4096}),
        ("model_limits_changed", None, none | {"max_starts_per_minute": 30, "num_ctx": 4096}),
    ]


def test_no_more_jobs_run_than_a_model_may_have_running(queue: JobQueue) -> None:
    for _ in range(4):
        queued(queue, model_hint="b")
    queue.limit_model("b", ModelLimits(max_running=3), actor=ACTOR)
    first = queue.claim(WORKER, max_jobs=2, model="b")
    assert len(first) == 2
    assert len(queue.claim("another", max_jobs=10)) == 1
    assert queue.claim("another", model="b") == []
    assert queue.complete(failure(first[0])).accepted
    assert len(taken(queue, server())) == 1


def test_jobs_without_a_model_count_against_the_limit_of_what_they_run_on(queue: JobQueue) -> None:
    for _ in range(3):
        queued(queue)
    queued(queue, model_hint="a")
    queue.limit_model("a", ModelLimits(max_running=2), actor=ACTOR)
    assert len(taken(queue, server(default="a"))) == 2
    assert taken(queue, server(default="a")) == []


def test_no_more_runs_start_in_a_minute_than_a_model_may(queue: JobQueue) -> None:
    for _ in range(5):
        queued(queue, model_hint="b")
    queue.limit_model("b", ModelLimits(max_starts_per_minute=2), actor=ACTOR)
    claims = taken(queue, server())
    assert len(claims) == 2
    queue.release(claims[0].run_id)
    assert taken(queue, server()) == []
    pass_time(61)
    with connection.cursor() as cursor:
        cursor.execute("SELECT MIN(started_utc) FROM llm.model_start")
        (oldest,) = cursor.fetchone()
        cursor.execute("UPDATE llm.model_start SET started_utc = %s", [oldest - timedelta(seconds=61)])
    assert len(taken(queue, server())) == 2


def test_what_is_over_a_limit_gives_way_to_another_model(queue: JobQueue) -> None:
    for _ in range(2):
        queued(queue, model_hint="b", priority=109)
    queued(queue, model_hint="c")
    queue.limit_model("b", ModelLimits(max_running=1), actor=ACTOR)
    assert [hints(queue.claim(WORKER)) for _ in range(3)] == [["b"], ["c"], []]


@pytest.mark.parametrize("limits", [ModelLimits(max_running=3), ModelLimits(max_starts_per_minute=3)])
def test_a_limit_holds_while_many_claim_at_once(queue: JobQueue, limits: ModelLimits) -> None:
    for _ in range(20):
        queued(queue, model_hint="b")
    queue.limit_model("b", limits, actor=ACTOR)

    def claim(worker: str) -> int:
        return sum(len(JobQueue().claim(worker, max_jobs=2, server=server())) for _ in range(3))

    took = at_once(*(partial(claim, f"worker-{number}") for number in range(6)))
    assert sum(took) == 3


def test_what_others_hold_is_passed_over_down_to_the_next_priority(queue: JobQueue) -> None:
    held = queued(queue, model_hint="b", priority=9)
    low = queued(queue, model_hint="b", priority=5)
    lower = queued(queue, model_hint="c", priority=4)
    with a_session() as other:
        other.hold(held)
        assert [claim.job_id for claim in taken(queue, server(serving="b"))] == [low.job_id]
        assert [claim.job_id for claim in taken(queue, server(serving="b"))] == [lower.job_id]
        assert taken(queue, server(serving="b")) == []


def test_jobs_of_interrogations_that_are_passed_over_make_no_model_wait(queue: JobQueue) -> None:
    queue.enqueue(JobInput(interrogation_key="refused", input_json="{}", model_hint="b", priority=109))
    queued(queue, model_hint="c")
    claims = queue.claim(WORKER, except_interrogations={"refused"}, server=server(serving="b"))
    assert hints(claims) == ["c"]


def test_every_model_gets_its_turn_within_as_many_quanta_as_there_are_others(queue: JobQueue) -> None:
    """A backlog of old jobs of some models does not keep the others waiting, whatever arrives meanwhile."""
    models = ["a", "b", "c", "d"]
    for model in models:
        for _ in range(10):
            queued(queue, model_hint=model)
        pass_time(600)
    served: list[str] = []
    idle: dict[str, float] = {}
    serving: str | None = None
    for _quantum in range(9):
        listed = [ServedModel(model=model, idle_seconds=idle.get(model)) for model in models]
        (claim,) = taken(queue, server(*listed, serving=serving, stay=False), max_jobs=1)
        serving = claim.model_hint
        assert serving is not None
        served.append(serving)
        queue.complete(failure(claim))
        queued(queue, model_hint=serving)
        pass_time(60)
        idle = {model: seconds + 60 for model, seconds in idle.items()} | {serving: 0.0}
    assert all(sorted(served[place : place + 4]) == models for place in range(6))


@pytest.mark.parametrize(
    "arguments",
    [
        {"model": " ", "actor": ACTOR},
        {"model": "b", "actor": " "},
        {"model": "b" * 201, "actor": ACTOR},
        {"model": "b", "actor": ACTOR, "max_running": 0},
        {"model": "b", "actor": ACTOR, "max_starts_per_minute": -1},
        {"model": "b", "actor": ACTOR, "num_ctx": 0},
        {"model": "b", "actor": ACTOR, "num_predict": 0},
        {"model": "b", "actor": ACTOR, "unset_json": "max_running"},
        {"model": "b", "actor": ACTOR, "unset_json": '{"max_running": 1}'},
        {"model": "b", "actor": ACTOR, "unset_json": '["model"]'},
        {"model": "b", "actor": ACTOR, "unset_json": "[null]"},
    ],
)
def test_bad_arguments_set_nothing(queue: JobQueue, arguments: dict[str, object]) -> None:
    with pytest.raises(BadArgument):
        said(procedures.SET_MODEL, **arguments)
    assert not LanguageModel.objects.exists()


@pytest.mark.parametrize("text", ["b", "{}", "[1]", '[{"model": ""}]', '[{"model": null}]', '[{"name": "b"}]'])
def test_a_list_of_models_that_is_none_is_refused(queue: JobQueue, text: str) -> None:
    with pytest.raises(BadArgument, match="models_json"):
        said(procedures.CLAIM_NEXT_JOB, worker_id=WORKER, models_json=text)


def events_of(model: str) -> list[tuple[str, str, str | None, str | None]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT event, actor, reason, detail_json FROM llm.model_event WHERE model = %s ORDER BY event_seq", [model]
        )
        return [tuple(row) for row in cursor.fetchall()]
