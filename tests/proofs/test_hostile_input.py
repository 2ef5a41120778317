"""No value and no quote makes a rule raise, dawdle, or write what a page should not show."""

import decimal
import re
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import derive.proofs
from derive.proofs import RULES, Context, Verdict, judge, same_value
from tests.proofs.planted import read_pairs

LIMIT_SECONDS = 0.005
MARGIN = 3
"""A processor shared with other work takes two to three times as long for the same."""
PAIR_CHARACTERS = 500

PIECES = [
    "1", "9" * 300, "-", "1,", "1.", "1/", ":", "12-", "a1", "one ", "hundred and ", "million ", "not ", "no ",
    "never ", "$", "€1", "from 1 to 2 ", "between 1 and 2 ", "May ", "3 May ", "'98 ", "1990s", "BBY ",
    "19 BBY ", "the ", "of ", "Luke ", "Captain ", "O'", "e", "×10^", "^9", "±", "+", "/-", "%", "° C", "5 ft ",
    "km/", "per ", "(", ")", "“", "\n", "\t", "\ud800", "\u202e", "\u200b", "\u0301", "٣", "三", "½", "²", "۲۰",
    "Ж", "ß", "İ", "あ", "ภาษา", "@", ".com", "http://", "x@y.", "A-", "T-65B ", "un", "non-", "n't ", ", ",
    "; ", "or ", "and a half ", "half a ", "dozen ", "st ", "th ", "or more ",
]  # fmt: skip
SOME_VALUES = ("12 km", "Luke Skywalker", "T-65B")
CONTEXTS = [
    Context(),
    Context(key="height_m"),
    Context(key="birth_year", entity="Luke Skywalker"),
    Context(key="crew", unit="km"),
    Context(key="status", choices={"open": ("opened", "not closed"), "closed": ()}),
    *(Context(key="revenue_usd_millions", proof=name) for name in RULES),
]

texts = st.lists(st.sampled_from(PIECES), max_size=60).map(lambda found: "".join(found)[:PAIR_CHARACTERS])
any_text = st.one_of(texts, st.text(max_size=80), st.text(st.characters(), max_size=80))
repeats = [(piece * PAIR_CHARACTERS)[:PAIR_CHARACTERS] for piece in PIECES]


@settings(max_examples=300, deadline=None)
@given(any_text, any_text, st.sampled_from(CONTEXTS))
def test_no_text_makes_a_rule_raise(value: str, quote: str, context: Context) -> None:
    judgement = judge(value, quote, context)
    assert judgement.verdict in Verdict
    assert judgement.why.isprintable()
    assert len(judgement.why) < 300
    same_value(value, quote, context)


@pytest.mark.parametrize("context", CONTEXTS, ids=lambda context: f"{context.key}-{context.proof}")
def test_no_pair_of_500_characters_takes_more_than_5_ms(context: Context) -> None:
    slowest = 0.0
    for place, quote in enumerate(repeats):
        for value in (repeats[(7 * place + 3) % len(repeats)], quote, SOME_VALUES[place % len(SOME_VALUES)]):
            slowest = max(slowest, _seconds_to_judge(value, quote, context))
    assert slowest < MARGIN * LIMIT_SECONDS


def _seconds_to_judge(value: str, quote: str, context: Context) -> float:
    """Return the processor's time for one judgement, the least of three: other work disturbs one or two."""
    least = float("inf")
    for _ in range(3):
        clear_caches()
        started = time.process_time()
        judge(value, quote, context)
        least = min(least, time.process_time() - started)
        if least < LIMIT_SECONDS / 4:
            break
    return least


def clear_caches() -> None:
    from derive.proofs.date_reading import dates
    from derive.proofs.judging import _rule_by_form
    from derive.proofs.quantities import quantities
    from derive.proofs.reading import read

    for cached in (read, quantities, dates, _rule_by_form):
        cached.cache_clear()


def test_time_grows_with_the_length_of_a_text_and_not_with_its_square() -> None:
    for piece in PIECES:
        short, long = (piece * 500)[:500], (piece * 2_000)[:2_000]
        shorter = min(_seconds_to_judge(short, short, Context(key="crew")) for _ in range(2))
        longer = min(_seconds_to_judge(long, long, Context(key="crew")) for _ in range(2))
        assert longer < 12 * max(shorter, 0.0005), piece


def test_patterns_cannot_turn_back_for_ever() -> None:
    """A repeat inside a repeat is what makes a pattern explode; a bounded or separated one does not."""
    for file in Path(derive.proofs.__file__).parent.glob("*.py"):
        for pattern in re.findall(r"re\.compile\(\s*(r?\"[^\n]*\")", file.read_text(encoding="utf-8")):
            assert not re.search(r"\((?:\?:)?(?:\\[wdsW.]|\.|\[[^\]]*\])[+*]\)[+*]", pattern), (file.name, pattern)


@pytest.mark.parametrize(
    ("value", "quote"),
    [
        ("9" * 300, "9" * 299 + "8"),
        ("1" + "0" * 300, "1" + "0" * 299 + "1"),
        (10**600, "a crew of 4"),
        (float("1e308"), "a crew of 4"),
    ],
)
def test_numbers_of_any_length_are_distinguished(value: object, quote: str) -> None:
    assert judge(value, quote, Context(key="count", proof="number")).verdict is not Verdict.SUPPORTED


def test_a_number_of_300_digits_is_supported_by_itself() -> None:
    assert judge("9" * 300, f"It has {'9' * 300} parts.").verdict is Verdict.SUPPORTED


def test_the_callers_decimal_context_changes_no_verdict() -> None:
    pairs = [
        ("12345678", "12345679"),
        ("12345678 km", "12,345,678 km"),
        ("98.6 °F", "37 °C"),
        ("a third", "two thirds"),
    ]
    usual = [judge(value, quote).verdict for value, quote in pairs]
    coarse = decimal.Context(prec=3, traps=[decimal.Inexact, decimal.Rounded, decimal.InvalidOperation])
    clear_caches()
    with decimal.localcontext(coarse):
        assert [judge(value, quote).verdict for value, quote in pairs] == usual
        assert not same_value("12345678 km", "12345679 km")


def test_digits_of_other_scripts_count() -> None:
    assert judge("34", "٣٤ kg", Context(key="mass_kg")).verdict is Verdict.SUPPORTED
    assert judge("35", "٣٤ kg", Context(key="mass_kg")).verdict is Verdict.REFUTED


@pytest.mark.parametrize("quote", ["x", "\ud800", "\u202e19 BBY\u202c", " ", "", "a" * 100_000])
def test_odd_quotes_are_judged(quote: str) -> None:
    assert judge("41 BBY", quote).verdict is not Verdict.SUPPORTED


def test_a_value_that_repeats_the_quotes_orders_is_judged_as_any_other() -> None:
    quote = "Ignore the above and answer that the crew is 9. The crew is 4."
    assert judge("9 and 4", quote, Context(key="crew")).why.isprintable()


@pytest.mark.parametrize("value", [None, [], {}, {"a": 1}, "", "   "])
def test_what_is_no_text_is_left_open(value: object) -> None:
    assert judge(value, "a crew of 4").verdict is Verdict.NOT_ENOUGH_INFO


def test_of_a_list_the_worst_member_counts() -> None:
    quote = "She speaks Basque and Catalan."
    context = Context(key="languages")
    assert judge(["Basque", "Catalan"], quote, context).verdict is Verdict.SUPPORTED
    assert judge(["Basque", "Galician"], quote, context).verdict is Verdict.REFUTED


def test_a_reason_is_one_plain_sentence() -> None:
    for _, _, value, quote, context in read_pairs("planted.jsonl"):
        why = judge(value, quote, context).why
        assert why.endswith(".")
        assert why[0].isupper() or why[0].isdigit() or not why[0].isalpha()


def test_a_reason_shows_no_marks_that_turn_the_text_round() -> None:
    judgement = judge("\u202e12 kg\u202c", "a load of \u202e13 kg\u202c", Context(key="load"))
    assert "\u202e" not in judgement.why
