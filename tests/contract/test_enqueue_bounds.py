"""The bounds of what is queued: each value may be at its own, and a refusal names the one that is past it."""

import json
from typing import Any

import pytest

from derive.errors import BadArgument
from derive.models import Job
from derive.queue import JobQueue
from derive.sql import procedures
from tests.contract.scenes import KEY, said

ELEMENT = {"n": 0, "interrogation_key": KEY, "input_json": "{}"}
AT_ITS_BOUNDS: dict[str, Any] = {
    "n": 0,
    "interrogation_key": "x" * 200,
    "input_json": "{}",
    "priority": 0,
    "evidence_ref_json": "{}",
    "model_hint": "x" * 200,
    "max_attempts": 1,
    "dedupe_key": "x" * 400,
    "entity_type": "x" * 200,
    "entity_id": "x" * 400,
    "available_utc": "9000-12-31T23:59:59Z",
}


def test_every_value_of_an_element_may_be_at_its_bound(queue: JobQueue) -> None:
    said(procedures.ENQUEUE_JOBS, jobs_json=json.dumps([AT_ITS_BOUNDS]))
    assert Job.objects.count() == 1


@pytest.mark.parametrize(
    ("number", "name", "value"),
    [
        (4, "interrogation_key", "x" * 201),
        (5, "input_json", "[]"),
        (6, "priority", -1),
        (7, "max_attempts", 0),
        (8, "dedupe_key", "x" * 401),
        (9, "evidence_ref_json", "[]"),
        (21, "model_hint", "x" * 201),
        (25, "entity_type", "x" * 201),
        (25, "entity_id", "x" * 401),
        (28, "available_utc", "9001-01-01T00:00:00Z"),
    ],
)
def test_a_refusal_names_the_one_value_that_is_past_its_bound(
    queue: JobQueue, number: int, name: str, value: object
) -> None:
    refused = refusal_of({**AT_ITS_BOUNDS, name: value})
    assert refused.number == number
    assert name in str(refused)


def refusal_of(*elements: dict[str, Any]) -> BadArgument:
    with pytest.raises(BadArgument) as refused:
        said(procedures.ENQUEUE_JOBS, jobs_json=json.dumps(elements))
    assert not Job.objects.exists()
    return refused.value


def test_one_bad_element_refuses_the_whole_batch(queue: JobQueue) -> None:
    assert refusal_of(ELEMENT, {**ELEMENT, "n": 1, "priority": -5}).number == 6


def test_of_several_bad_elements_the_first_by_number_is_named(queue: JobQueue) -> None:
    bad = ((7, "priority"), (3, "max_attempts"), (5, "priority"))
    refused = refusal_of(*({**ELEMENT, "n": n, name: -5} for n, name in bad))
    assert refused.number == 7
    assert "n = 3" in str(refused)
