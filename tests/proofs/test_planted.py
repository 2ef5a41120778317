"""What the rules make of planted values: wrong ones refuted, right ones never, and few left to a person."""

import pytest

from derive.proofs import Verdict
from tests.proofs.planted import Score, read_pairs, score

SETS = ["planted.jsonl", "planted_second.jsonl", "planted_third.jsonl", "planted_fourth.jsonl"]
"""Each after the first was written before it was first judged, with the rules as the sets before had left them. At
those first tries 3.2, 0.6 and 1.6 % of the right values were refuted, 90, 90 and 93 % of the wrong ones, and 4, 4 and
5 % of both left open. The misses were then fixed by kind."""


@pytest.fixture(params=SETS)
def judged(request: pytest.FixtureRequest) -> Score:
    found = score(read_pairs(request.param))
    print(f"\n{request.param}\n{found.table()}", *found.surprises, sep="\n")  # noqa: T201 (shown with -s, or on failure)
    return found


def test_wrong_values_are_refuted(judged: Score) -> None:
    assert judged.count("wrong", Verdict.REFUTED) >= 0.95 * judged.count("wrong")


def test_right_values_are_hardly_ever_refuted(judged: Score) -> None:
    assert judged.count("right", Verdict.REFUTED) <= 0.005 * judged.count("right")


def test_few_values_are_left_to_a_person(judged: Score) -> None:
    decidable = judged.count("right") + judged.count("wrong")
    left = judged.count("right", Verdict.NOT_ENOUGH_INFO) + judged.count("wrong", Verdict.NOT_ENOUGH_INFO)
    assert left <= 0.15 * decidable


def test_what_the_quote_leaves_open_is_not_decided(judged: Score) -> None:
    assert judged.count("open", Verdict.NOT_ENOUGH_INFO) >= 0.9 * judged.count("open")


def test_every_rule_is_tried_with_right_and_wrong_values() -> None:
    pairs = [pair for name in SETS for pair in read_pairs(name)]
    assert len(pairs) >= 400
    for rule in ("number", "date", "words", "choice", "polarity", "identifier"):
        for kind in ("right", "wrong"):
            assert sum(pair.rule == rule and pair.kind == kind for pair in pairs) >= 15, (rule, kind)
