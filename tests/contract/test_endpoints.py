"""Endpoints: the model servers of each worker, exactly as its last heartbeat that spoke of them did."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from pydantic import ValidationError

from derive.contracts import EndpointFacts, WorkerFacts
from derive.errors import BadArgument
from derive.models import Endpoint
from derive.queue import JobQueue
from derive.sql import procedures
from derive.states import EndpointState
from derive.strict_types import MOST_MODELS
from tests.contract.scenes import WORKER, at_once, said
from tests.contract.sessions import IMPATIENT_MS, a_session

SINCE = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def endpoint(name: str = "gpu-1", **values: Any) -> EndpointFacts:
    known = {"name": name, "protocol": "ollama", "address": "http://gpu-1:11434", "slots": 2, "state": "UP"}
    return EndpointFacts.model_validate({**known, **values})


def beat(queue: JobQueue, *endpoints: EndpointFacts, worker: str = WORKER, of: bool = True) -> None:
    facts = WorkerFacts(
        host="h", pid=1, version="1", started_utc=SINCE, concurrency=4, endpoints=endpoints if of else None
    )
    queue.heartbeat(worker, [], facts=facts)


def rows(worker: str = WORKER) -> list[Endpoint]:
    return list(Endpoint.objects.filter(worker_id=worker).order_by("name"))


def test_a_heartbeat_stores_everything_about_each_endpoint(queue: JobQueue) -> None:
    beat(
        queue,
        endpoint(
            protocol="openai",
            state=EndpointState.DOWN,
            serving_model="qwen2.5:14b",
            serving_since_utc=SINCE,
            resident=("qwen2.5:14b",),
            models=("qwen2.5:14b", "llama3.2"),
            last_error="refused " * 200,
        ),
        endpoint("a second"),
    )
    second, first = rows()
    assert (first.name, first.protocol, first.address, first.slots) == ("gpu-1", "openai", "http://gpu-1:11434", 2)
    assert (first.state, first.serving_model, first.serving_since_utc) == ("DOWN", "qwen2.5:14b", SINCE)
    assert json.loads(str(first.resident_models_json)) == ["qwen2.5:14b"]
    assert json.loads(str(first.models_json)) == ["qwen2.5:14b", "llama3.2"]
    assert first.last_error == ("refused " * 200)[:1000]
    unknown = (second.serving_model, second.serving_since_utc, second.resident_models_json, second.models_json)
    assert unknown == (None, None, None, None)


def test_an_endpoint_that_has_no_models_is_not_one_of_which_none_are_known(queue: JobQueue) -> None:
    beat(queue, endpoint(models=(), resident=()))
    (row,) = rows()
    assert (row.models_json, row.resident_models_json) == ("[]", "[]")


def test_a_workers_endpoints_become_exactly_those_of_its_heartbeat(queue: JobQueue) -> None:
    beat(queue, endpoint("a", last_error="it broke"), endpoint("b"))
    beat(queue, endpoint("b"), worker="another")
    beat(queue, endpoint("a", slots=3), endpoint("c"))
    assert [(row.name, row.slots, row.last_error) for row in rows()] == [("a", 3, None), ("c", 2, None)]
    assert [row.name for row in rows("another")] == ["b"]
    beat(queue)
    assert rows() == []


def test_a_heartbeat_without_endpoints_keeps_them(queue: JobQueue) -> None:
    beat(queue, endpoint())
    (before,) = rows()
    beat(queue, of=False)
    queue.heartbeat(WORKER, [])
    (after,) = rows()
    assert after.last_seen_utc == before.last_seen_utc


def test_an_endpoints_last_seen_time_comes_from_the_database(queue: JobQueue) -> None:
    told = endpoint(serving_model="m", serving_since_utc=SINCE, models=("m",))
    beat(queue, told)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE llm.endpoint SET last_seen_utc = %s", [SINCE])
    beat(queue, told)
    (row,) = rows()
    assert row.last_seen_utc > SINCE + timedelta(days=1)
    assert (row.serving_model, row.serving_since_utc, row.models_json) == ("m", SINCE, '["m"]')


def test_two_workers_may_name_one_endpoint(queue: JobQueue) -> None:
    at_once(*[lambda worker=worker: beat(queue, endpoint(), worker=worker) for worker in ("w1", "w2", "w3", "w4")])
    assert Endpoint.objects.count() == 4


def test_concurrent_heartbeats_of_one_worker_leave_the_endpoints_of_one(queue: JobQueue) -> None:
    lists = [(endpoint("a"), endpoint("b")), (endpoint("b"), endpoint("c")), (endpoint("c"), endpoint("a"))]
    for _ in range(3):
        at_once(*[lambda told=told: beat(queue, *told) for told in lists])
        assert [row.name for row in rows()] in (["a", "b"], ["b", "c"], ["a", "c"])


def test_endpoints_go_with_their_workers_row(queue: JobQueue) -> None:
    beat(queue, endpoint())
    beat(queue, endpoint(), worker="another")
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM llm.worker WHERE worker_id = %s", [WORKER])
    assert [row.worker_id for row in Endpoint.objects.all()] == ["another"]


def test_a_heartbeat_without_endpoints_does_not_read_them(queue: JobQueue) -> None:
    beat(queue, endpoint())
    with a_session() as holder, a_session(wait_ms=IMPATIENT_MS) as beating:
        holder.run("UPDATE llm.endpoint SET slots = slots")
        assert not beating.has_to_wait(procedures.HEARTBEAT, worker_id=WORKER, run_ids_json="[]")


GOOD: dict[str, Any] = {"name": "a", "protocol": "ollama", "address": "http://a", "slots": 1, "state": "UP"}
WRONG: list[dict[str, Any]] = [
    {"name": " "},
    {"name": None},
    {"name": "n" * 201},
    {"protocol": ""},
    {"protocol": "p" * 41},
    {"address": None},
    {"slots": 0},
    {"slots": "many"},
    {"slots": None},
    {"state": "up"},
    {"state": None},
    {"serving_model": " "},
    {"serving_model": "m" * 201},
    {"serving_since_utc": "some time"},
    {"serving_since_utc": "1999-01-01T00:00:00Z"},
    {"resident": {}},
    {"models": {"m": 1}},
]


@pytest.mark.parametrize(
    "endpoints_json",
    [
        "{}",
        "no JSON",
        "[1]",
        json.dumps([GOOD, GOOD]),
        json.dumps([GOOD, GOOD | {"name": " a "}]),
        *(json.dumps([GOOD | change]) for change in WRONG),
    ],
)
def test_malformed_endpoints_are_refused_and_change_nothing(queue: JobQueue, endpoints_json: str) -> None:
    beat(queue, endpoint())
    with pytest.raises(BadArgument, match="HC044"):
        said(procedures.HEARTBEAT, worker_id=WORKER, run_ids_json="[]", endpoints_json=endpoints_json)
    assert [row.name for row in rows()] == ["gpu-1"]


def test_no_list_of_models_makes_a_heartbeat_fail(queue: JobQueue) -> None:
    hostile = (" a ", "\x00", "\ud800b", "", "x" * 5000, *(f"m{n}" for n in range(2 * MOST_MODELS)))
    beat(queue, endpoint(models=hostile, resident=hostile[:3], last_error="\x00 broke", address="http://\x00"))
    (row,) = rows()
    models = json.loads(str(row.models_json))
    assert models[:4] == ["a", "\ufffd", "\ufffdb", "x" * 200]
    assert len(models) == MOST_MODELS
    assert row.last_error == "\ufffd broke"


@pytest.mark.parametrize("wrong", [{"slots": 0}, {"state": "AWAY"}, {"name": " a"}, {"serving_since_utc": "never"}])
def test_facts_of_an_endpoint_that_no_column_can_hold_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        endpoint(**wrong)
