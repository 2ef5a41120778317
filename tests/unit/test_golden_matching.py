"""Which expected facts an answer has."""

import pytest

from derive.facts.rules import FactRules
from derive.scoring.matching import CaseComparison, Counts, Mark, Matching, compare
from derive.scoring.stated import StatedFact, statements_of


def compared(
    expected: list[tuple[str, object]],
    found: list[tuple[str, object]],
    matching: dict[str, Matching] | None = None,
) -> CaseComparison:
    return compare([StatedFact(*one) for one in expected], [StatedFact(*one) for one in found], matching)


@pytest.mark.parametrize("found", [1000, "1000", "1,000", "one thousand", "1 000"])
def test_a_value_in_another_notation_matches(found: object) -> None:
    assert compared([("crew", "1,000")], [("crew", found)]).by_key == {"crew": Counts(right=1)}


def test_another_value_is_both_wrong_and_missed() -> None:
    told = compared([("height", "172 cm")], [("height", "180 cm")])
    assert told.by_key == {"height": Counts(wrong=1, missed=1)}
    assert (told.expected, told.found) == ((Mark.MISSED,), (Mark.WRONG,))


def test_keys_match_whatever_their_case_and_separators() -> None:
    assert compared([("Home World", "Tatooine")], [("home_world", "tatooine")]).by_key == {"home_world": Counts(1)}


def test_a_fact_of_another_key_does_not_match() -> None:
    assert compared([("mass", "77")], [("height", "77")]).by_key == {
        "mass": Counts(missed=1),
        "height": Counts(wrong=1),
    }


def test_a_fact_that_is_stated_twice_counts_once() -> None:
    told = compared([("crew", "5")], [("crew", "5"), ("crew", "five"), ("crew", "6"), ("crew", "six")])
    assert told.by_key == {"crew": Counts(right=1, wrong=1)}
    assert told.found == (Mark.MATCHED, Mark.MATCHED, Mark.WRONG, Mark.WRONG)


def test_several_values_of_one_key_are_matched_one_by_one() -> None:
    told = compared([("film", "A"), ("film", "B"), ("film", "C")], [("film", "C"), ("film", "A")])
    assert told.by_key == {"film": Counts(right=2, missed=1)}
    assert told.expected == (Mark.MATCHED, Mark.MISSED, Mark.MATCHED)


def test_a_case_says_how_a_key_is_compared() -> None:
    expected: list[tuple[str, object]] = [("crew", "1,000"), ("mood", "calm"), ("note", "x")]
    found: list[tuple[str, object]] = [("crew", "1000"), ("mood", "angry"), ("note", "y")]
    how = {"crew": Matching.EXACT, "mood": Matching.PRESENT, "note": Matching.IGNORE}
    told = compared(expected, found, how)
    assert told.by_key == {"crew": Counts(wrong=1, missed=1), "mood": Counts(right=1)}
    assert told.expected == (Mark.MISSED, Mark.MATCHED, Mark.IGNORED)
    every = compared(expected, found, {"*": Matching.IGNORE, "crew": Matching.SAME})
    assert every.by_key == {"crew": Counts(right=1)}


def test_objects_match_member_by_member() -> None:
    told = compared([("size", {"height": "1,000", "unit": "cm"})], [("size", {"unit": "cm", "height": 1000})])
    assert told.by_key == {"size": Counts(right=1)}


def test_an_answer_states_its_cited_objects_and_nothing_for_null() -> None:
    answer = {
        "facts": [
            {"fact_key": "height", "value": 172, "quote": "172", "evidence_ids": ["e1"]},
            {"fact_key": "mass", "value": None, "quote": "?", "evidence_ids": ["e1"]},
            {"fact_key": "no citation", "value": 1},
        ]
    }
    stated = statements_of(answer, FactRules({}))
    assert [(one.key, one.value, one.path) for one in stated] == [("height", 172, "facts[0]")]
