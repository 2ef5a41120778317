"""How long a worker stays with a model, and what it tells the claim."""

from typing import Any

import pytest

from derive.contracts import ANY_MODEL, Claim, ServedModel
from derive.worker.model_turns import ModelTurns


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def claims(model: str | None) -> list[Claim]:
    values: dict[str, Any] = {"model_hint": model}
    return [Claim.model_construct(**values)]


def turns(clock: Clock, *, quantum_seconds: float | None = None) -> ModelTurns:
    return ModelTurns("a", quantum_seconds=quantum_seconds, clock=clock)


def test_before_anything_is_served_any_model_is_welcome(clock: Clock) -> None:
    server = turns(clock).server()
    assert (server.default, server.serving, server.models) == ("a", None, (ServedModel(model=ANY_MODEL),))


def test_a_worker_stays_for_a_quantum_and_not_longer(clock: Clock) -> None:
    whose = turns(clock, quantum_seconds=30)
    whose.note_claims(claims("b"))
    clock.now += 29.9
    assert (whose.server().serving, whose.server().stay) == ("b", True)
    clock.now += 0.2
    assert (whose.server().serving, whose.server().stay) == ("b", False)


def test_more_claims_of_the_same_model_do_not_begin_its_quantum_anew(clock: Clock) -> None:
    whose = turns(clock, quantum_seconds=30)
    whose.note_claims(claims("b"))
    clock.now += 31
    whose.note_claims(claims("b"))
    assert not whose.server().stay


def test_a_switch_begins_a_quantum_and_tells_how_long_ago_each_model_was_served(clock: Clock) -> None:
    whose = turns(clock, quantum_seconds=30)
    for model in ("b", None, "c"):
        whose.note_claims(claims(model))
        clock.now += 40
    server = whose.server()
    assert server.serving == "c"
    assert server.models == (
        ServedModel(model=ANY_MODEL),
        ServedModel(model="b", idle_seconds=80),
        ServedModel(model="a", idle_seconds=40),
    )
    clock.now -= 20
    assert whose.server().stay


def test_an_empty_claim_changes_nothing(clock: Clock) -> None:
    whose = turns(clock)
    whose.note_claims(claims("b"))
    whose.note_claims([])
    assert whose.server().serving == "b"


@pytest.mark.parametrize(
    ("loads", "quantum"),
    [([], 60), ([0.9, 1.0], 60), ([2.0], 60), ([20.0], 200), ([5.0, 20.0, 600.0], 200), ([300.0], 900)],
)
def test_a_quantum_is_ten_times_the_median_load_between_one_minute_and_fifteen(
    clock: Clock, loads: list[float], quantum: float
) -> None:
    whose = turns(clock)
    for seconds in loads:
        whose.note_load(seconds)
    assert whose.quantum_seconds == quantum


def test_only_recent_loads_count(clock: Clock) -> None:
    whose = turns(clock)
    for seconds in [80.0] * 9 + [20.0] * 9:
        whose.note_load(seconds)
    assert whose.quantum_seconds == 200


def test_names_made_up_by_whoever_enqueues_do_not_fill_the_memory(clock: Clock) -> None:
    whose = turns(clock)
    for number in range(500):
        clock.now += 1
        whose.note_claims(claims(f"model-{number}"))
    models = whose.server().models
    assert models is not None
    assert len(models) <= 202
    assert ServedModel(model="model-498", idle_seconds=0) in models


def test_until_a_load_was_seen_here_the_known_load_time_of_the_model_counts(clock: Clock) -> None:
    whose = ModelTurns("a", quantum_seconds=None, load_seconds={"b": 20.0}, clock=clock)
    assert whose.quantum_seconds == 60
    whose.note_claims(claims("b"))
    assert whose.quantum_seconds == 200
    whose.note_load(8)
    assert whose.quantum_seconds == 80
