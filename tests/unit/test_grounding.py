"""Which of an answer's quotes count as proven, and what is told of those that do not."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derive.evidence.contracts import EvidenceBundle
from derive.facts.judging import Judged, judge_facts
from derive.facts.rules import FactRules
from derive.interrogations.grounding import Grounds, QuotePlace, cited_facts
from derive.interrogations.report import Detail
from tests.unit.evidence_samples import bundle_of, fact

BUNDLE = bundle_of(a="Luke was born on Tatooine", b="Leia is a princess", c="x", d="“Han” was not")


def check_grounding(answer: Any, bundle: EvidenceBundle) -> Judged:
    return judge_facts(answer, bundle, FactRules({}))


def problems(answer: Any) -> list[tuple[str, str, str | None]]:
    return [(one.path, one.problem, one.excerpt) for one in check_grounding(answer, BUNDLE).problems]


def problem(cited: Any) -> Detail:
    (detail,) = check_grounding(cited, BUNDLE).problems
    return detail


def test_as_many_problems_are_reported_as_an_answer_has_facts_in_the_answers_order() -> None:
    wrong = fact("nowhere to be found", "a")
    assert [path for path, _, _ in problems([wrong] * 9 + [fact("Luke", "a")])] == [f"[{n}].quote" for n in range(9)]
    assert [path for path, _, _ in problems([wrong] * 30)] == [f"[{n}].quote" for n in range(24)]


def test_folded_quotes_are_named() -> None:
    folded, exact = fact('"Han" was', "d"), fact("“Han” was", "d")
    assert check_grounding([folded, exact], BUNDLE).folded_quotes == ("[0].quote",)


def test_a_cited_fact_has_both_members_and_is_found_in_the_answers_order() -> None:
    inner, outer = fact("Luke", "a"), fact("Leia", "b")
    answer = {
        "first": [outer | {"more": inner}, 5],
        "quote": "alone",
        "second": {"evidence_ids": ["a"]},
        "third": inner,
    }
    assert [path for path, _ in cited_facts(answer)] == [("first", 0), ("first", 0, "more"), ("third",)]


@pytest.mark.parametrize("ids", [[], "a", None, ["a", 5], [5], {"a": 1}])
def test_evidence_must_be_named_by_a_list_of_ids(ids: Any) -> None:
    assert problem({"evidence_ids": ids, "quote": "Luke"}) == Detail(
        path="evidence_ids", problem="must name the evidence the quote stands in"
    )


def test_an_unknown_id_is_reported_with_those_there_are() -> None:
    assert problem(fact("Luke", "a", "first", "second")) == Detail(
        path="evidence_ids", problem="names evidence that does not exist; there is: a, b, c, d", excerpt='"first"'
    )


@pytest.mark.parametrize(("count", "end"), [(10, "i9"), (11, "i9, …")])
def test_ten_ids_are_reported_and_sixty_characters_of_each(count: int, end: str) -> None:
    many = bundle_of(**{("i0" + "x" * 80 if n == 0 else f"i{n}"): f"text {n}" for n in range(count)})
    (detail,) = check_grounding(fact("text", "zz"), many).problems
    shown = detail.problem.removeprefix("names evidence that does not exist; there is: ")
    told = shown.removesuffix(", …").split(", ")
    assert len(told) == 10
    assert "i0" + "x" * 58 in told
    assert shown.endswith(", …") is end.endswith("…")


@pytest.mark.parametrize("quote", [None, 5, ["Luke"], "", " \n", "\u200b"])
def test_a_quote_that_shows_nothing_is_reported_as_empty(quote: Any) -> None:
    assert problem({"evidence_ids": ["a"], "quote": quote}) == Detail(
        path="quote", problem="is empty: it must be copied from the evidence"
    )


def test_a_quote_needs_two_letters_or_digits_unless_its_item_has_fewer() -> None:
    assert problems([fact("Lu", "a"), fact("x", "c"), fact("x", "a", "c")]) == []
    assert "has fewer than 2" in problem(fact("…", "a")).problem
    assert problems(fact("L", "a")) == [
        ("quote", "has fewer than 2 letters or digits, which proves nothing: quote whole words", '"L"')
    ]


def test_it_is_enough_that_one_cited_item_holds_the_quote() -> None:
    assert problems([fact("Luke was", "b", "a"), fact('"Han" was', "a", "d")]) == []
    assert check_grounding(fact("Luke was", "a", "b"), BUNDLE).folded_quotes == ()


@pytest.mark.parametrize("quote", ["Leia is", "Leia \n is"])
def test_a_quote_found_in_another_item_is_reported_with_its_place(quote: str) -> None:
    assert problem(fact(quote, "a")).problem == (
        "does not stand in the evidence it cites (a); it stands in b, which is not cited"
    )
    assert problem(fact('"Han" was', "a")).problem.endswith("; it stands in d, which is not cited")


def test_a_quote_found_nowhere_is_reported_with_its_beginning() -> None:
    assert problem(fact("Luke is a princess", "a", "b")) == Detail(
        path="quote",
        problem="does not stand in the evidence it cites (a, b): it must be copied character by character",
        excerpt='"Luke is a princess"',
    )


def test_a_quote_that_differs_only_in_white_space_is_not_folded() -> None:
    spaced = bundle_of(a="Luke  was\nborn")
    assert check_grounding(fact("Luke was born", "a"), spaced).folded_quotes == ()


def test_only_the_first_twenty_missing_quotes_are_searched_for_elsewhere() -> None:
    told = [problem.endswith("which is not cited") for _, problem, _ in problems([fact("Leia is", "a")] * 22)]
    assert told == [True] * 20 + [False] * 2


@pytest.mark.parametrize(
    ("quote", "place"),
    [
        ("Luke was", (2, 11, 2)),
        ("was born", (8, 18, 1)),
        ("born", (14, 18, 1)),
        ("was here", (27, 37, 1)),
    ],
)
def test_a_position_refers_to_the_original_text(quote: str, place: tuple[int, int, int]) -> None:
    grounds = Grounds(bundle_of(a="  Luke  was \n born. \tLuke  was   here"))
    assert grounds.place_of(fact(quote, "a"), ()) == QuotePlace("a", *place)


@given(st.lists(st.sampled_from([" ", "\n", "\t", "\u00a0", "ab", "cd,"]), min_size=1, max_size=12))
def test_each_word_keeps_its_place_whatever_white_space_is_around_it(pieces: list[str]) -> None:
    text = "".join(pieces)
    for word in {word for word in text.split() if len(word) > 1}:
        found = Grounds(bundle_of(a=text)).place_of(fact(word, "a"), ())
        assert isinstance(found, QuotePlace)
        assert (found.start, found.end) == (text.find(word), text.find(word) + len(word))
