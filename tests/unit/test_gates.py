"""Gates: a regression is blocked, noise is not, and the same numbers give the same verdict."""

from random import Random

import pytest

from derive.scoring.gates import BadGate, Gate, GateResult, judge_gate, parse_gate
from derive.scoring.statistics import interval, resample
from derive.scoring.tallies import METRICS, Tally, TallyLayout, add

CASES, FACTS = 200, 5


def a_case(right: int, facts: int = FACTS, *, refused: int = 0, tokens: int = 100, ms: int = 1000) -> Tally:
    return (right, facts - right, facts - right, 1, refused, tokens, ms)


def answers(rng: Random, share: float) -> list[Tally]:
    return [a_case(sum(rng.random() < share for _ in range(FACTS))) for _ in range(CASES)]


def judged(text: str, ours: list[Tally], live: list[Tally]) -> GateResult:
    gate = parse_gate(text)
    layout = TallyLayout(2)
    packed = [layout.pack(pair) for pair in zip(ours, live, strict=True)]
    needs_draws = gate.margin or gate.sign in {">", "<"}
    drawn = [(one, other) for one, other in resample(packed, layout, resamples=400 if needs_draws else 0)]
    return judge_gate(gate, ours, live, drawn)


def f1(tallies: list[Tally]) -> float:
    return METRICS["f1"](add(tallies))


@pytest.mark.parametrize("seed", range(5))
def test_a_regression_of_five_points_on_200_cases_is_blocked(seed: int) -> None:
    rng = Random(seed)
    live = answers(rng, 0.9)
    # Exactly fifty of a thousand facts lost, in random cases, beside noise that cancels out.
    worse = [list(tally) for tally in live]
    lost = 0
    while lost < 50:
        case = rng.choice(worse)
        if case[0]:
            case[0] -= 1
            case[1] += 1
            case[2] += 1
            lost += 1
    ours = [tuple(case) for case in worse]
    assert f1(live) - f1(ours) == pytest.approx(0.05)
    assert not judged("f1>=live", ours, live).passed


def test_independent_answers_that_are_five_points_worse_are_nearly_always_blocked() -> None:
    blocked = 0
    for seed in range(40):
        rng = Random(seed)
        live, ours = answers(rng, 0.92), answers(rng, 0.87)
        blocked += not judged("f1>=live", ours, live).passed
    assert blocked >= 36


def test_noise_without_a_change_is_blocked_in_at_most_five_of_a_hundred() -> None:
    alarms = 0
    for seed in range(200):
        rng = Random(1_000 + seed)
        live, ours = answers(rng, 0.9), answers(rng, 0.9)
        alarms += not judged("f1>=live", ours, live).passed
    assert alarms <= 10, f"{alarms} false alarms of 200"


def test_the_same_answers_are_never_worse() -> None:
    live = answers(Random(1), 0.8)
    assert judged("f1>=live", live, live).passed
    assert judged("f1>=live-0.01", live, live).passed
    assert not judged("f1>live", live, live).passed


def test_a_margin_asks_for_proof() -> None:
    rng = Random(3)
    live = answers(rng, 0.9)
    few, few_live = live[:10], answers(rng, 0.9)[:10]
    assert judged("f1>=live", few, few_live).passed, "ten cases prove nothing"
    assert not judged("f1>=live-0.02", few, few_live).passed, "nor that it is not worse"


def test_better_is_shown_by_the_interval() -> None:
    rng = Random(4)
    live, ours = answers(rng, 0.8), answers(rng, 0.9)
    assert judged("f1>live", ours, live).passed
    assert judged("f1>live+0.05", ours, live).passed
    assert not judged("f1>live+0.2", ours, live).passed


def test_of_costs_less_is_better() -> None:
    live = [a_case(5, tokens=100 + n % 7, ms=1000) for n in range(CASES)]
    dearer = [a_case(5, tokens=120 + n % 5, ms=1000) for n in range(CASES)]
    assert not judged("tokens<=live", dearer, live).passed
    assert judged("tokens<=live", live, dearer).passed
    assert judged("tokens<=live+30", dearer, live).passed
    assert judged("seconds<=1.5", live, live).passed
    assert not judged("refusals<=0.01", [a_case(0, refused=1)] * 3, live[:3]).passed


def test_the_same_numbers_give_the_same_verdict() -> None:
    rng = Random(5)
    live, ours = answers(rng, 0.9), answers(rng, 0.88)
    assert judged("f1>=live", ours, live) == judged("f1>=live", ours, live)


def test_no_answers_pass_no_gate() -> None:
    assert not judged("f1>=live", [], []).passed


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("f1>=live", Gate("f1>=live", "f1", ">=")),
        (" recall >= live - 0.02 ", Gate("recall>=live-0.02", "recall", ">=", margin=-0.02)),
        ("f1[home world]>=0.9", Gate("f1[home world]>=0.9", "f1", ">=", key="home world", number=0.9)),
        ("tokens<=live", Gate("tokens<=live", "tokens", "<=")),
    ],
)
def test_gates_are_read(text: str, gate: Gate) -> None:
    assert parse_gate(text) == gate


@pytest.mark.parametrize(
    "text", ["", "f1", "f1>=", "f2>=live", "f1>=dead", "f1=live", "f1>=live*2", "f1<=live", "tokens>=live", "f1>=nan"]
)
def test_what_is_no_gate_is_refused(text: str) -> None:
    with pytest.raises(BadGate):
        parse_gate(text)


def test_an_interval_holds_its_value() -> None:
    layout = TallyLayout(1)
    cases = answers(Random(6), 0.9)
    drawn = resample([layout.pack([one]) for one in cases], layout, resamples=400)
    found = interval(f1(cases), [METRICS["f1"](one) for (one,) in drawn])
    assert found.low < found.value < found.high
    assert 0.01 < found.high - found.low < 0.06


def test_packed_cases_add_up() -> None:
    layout = TallyLayout(2)
    one, other = (1, 2, 3, 4, 5, 6, 2**40), (0, 0, 0, 0, 0, 0, 2**40)
    assert (
        layout.unpack(layout.pack([one, other]) + layout.pack([other, one]))
        == [tuple(map(sum, zip(one, other, strict=True)))] * 2
    )
