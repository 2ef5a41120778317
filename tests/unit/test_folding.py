"""Folding makes a plain copy equal to its typeset source, and says where in the source it stands."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derive.evidence.folding import count_word_characters, fold

COPIES = [
    ("“Tatooine”, they say", '"Tatooine", they say'),
    ("the farmer’s son", "the farmer's son"),
    ("«Tatooine»", '"Tatooine"'),
    ("1939–1945 — at −5 °C", "1939-1945 - at -5 °C"),
    (unicodedata.normalize("NFD", "São Tomé"), "São Tomé"),
    ("São Tomé", unicodedata.normalize("NFD", "São Tomé")),
    (unicodedata.normalize("NFD", "한국어"), "한국어"),
    ("re\u00adpub\u00adlic", "republic"),
    ("zero\u200bwidth and \ufeffmark", "zerowidth and mark"),
    ("no\u00a0break\u202fspaces\u3000here", "no break spaces here"),
    ("the ﬁrst oﬃcer", "the first officer"),
    ("ＡＢＣ １２３", "ABC 123"),
    ("ｶﾞｲﾄﾞ", "ガイド"),
    ("ﻣﺮﺣﺒﺎ", "مرحبا"),
    ("and so on…", "and so on..."),
    ("an exam-\nple", "an example"),
    ("an exam-\n  ple", "an exam-ple"),
    ("an exam-\r\nple", "an exam- ple"),
    ("an exam\u00ad\nple", "an example"),
    ("an exam\u2010\nple", "an example"),
    ("a well-\nknown exam-\nple", "a well-known example"),
    ("an exam- ple", "an exam-\nple"),
    ("COVID-\n19 since 1939-\n1945", "COVID-19 since 1939-1945"),
    ("from 1939-\n1945", "from 1939- 1945"),
    ("so -\nhe said", "so - he said"),
    ("a-\nb", "a- b"),
]


@pytest.mark.parametrize(("source", "copy"), COPIES)
def test_a_plain_copy_is_found_in_its_typeset_source(source: str, copy: str) -> None:
    text = f"«ﬁ» {source}\u200b, e\u0301."
    span = fold(text).find(copy)
    assert span is not None
    assert text[slice(*span)] == source


DIFFERENT = [
    ("Luke", "luke"),
    ("café", "cafe"),
    (unicodedata.normalize("NFD", "café"), "cafe"),
    ("resign", "re-sign"),
    ("re-sign", "resign"),
    ("10² m", "102 m"),
    ("½ cup", "1/2 cup"),
    ("1939-\n1945", "19391945"),
    ("½ ① ℃", "1 1 C"),
    ("straße", "strasse"),
    ("ten thousand", "tenthousand"),
    ("a word- by", "a wordby"),
    ("", ""),
    ("x", "\u200b\u3164\u115f"),
]


@pytest.mark.parametrize(("source", "copy"), DIFFERENT)
def test_other_letters_digits_case_or_words_are_not_found(source: str, copy: str) -> None:
    assert fold(source).find(copy) is None


def test_every_occurrence_is_reported_by_its_place_in_the_original() -> None:
    text = "“ﬁn” – fin, ﬁ\u00adn."
    assert [text[start:end] for start, end in fold(text).find_all("fin")] == ["ﬁn", "fin", "ﬁ\u00adn"]


def test_origins_point_at_each_characters_own_place() -> None:
    folded = fold(" e\u0301 \u200b ﬁ\u00ad-")
    assert folded.text == "é fi-"
    assert list(zip(folded.text, folded.starts, folded.ends, strict=True)) == [
        ("é", 1, 3),
        (" ", 3, 6),
        ("f", 6, 7),
        ("i", 6, 7),
        ("-", 8, 9),
    ]
    assert folded.span(2, 5) == (6, 9)


@pytest.mark.parametrize(
    ("text", "count"), [("a", 1), ("é1", 2), ("…! 🚀", 0), ("莱娅", 2), ("\u200b\u3164\uffa0", 0), ("a\u00ad", 1)]
)
def test_word_characters_are_the_letters_and_digits_that_can_be_seen(text: str, count: int) -> None:
    assert count_word_characters(text) == count


ODD = st.text(
    st.sampled_from("aé1 \n-.…“’—­\u200b ﬁ́̈ｶﾞ가각ㅤA`\u2028²") | st.characters(exclude_categories=["Cs"]),
    max_size=30,
)


@given(ODD)
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text).text).text == fold(text).text


@given(ODD)
def test_origins_are_in_order_and_inside_the_original(text: str) -> None:
    folded = fold(text)
    assert len(folded.text) == len(folded.starts) == len(folded.ends)
    assert list(folded.starts) == sorted(folded.starts)
    assert all(0 <= start < end <= len(text) for start, end in zip(folded.starts, folded.ends, strict=True))


@given(ODD, st.data())
def test_a_folded_slice_is_found_and_its_original_folds_to_it_again(text: str, data: st.DataObject) -> None:
    folded = fold(text)
    if not folded.text:
        return
    start = data.draw(st.integers(0, len(folded.text) - 1))
    end = data.draw(st.integers(start + 1, len(folded.text)))
    assert folded.text[start:end].strip() == "" or folded.find(folded.text[start:end]) is not None


@pytest.mark.parametrize(
    ("text", "quote"),
    [
        ("a" + "\u0301\u0323" * 100_000, "b"),
        ("ab-\n" * 5_000, "ab" * 2_000 + "x"),
        ("a-\n" + "a" * 20_000, "a" * 9_000 + "b"),
        ("a-\n" + "a" * 20_000, "a" * 9_000 + " a"),
        ("- " * 100_000, "-" * 9_000),
        ("a" + "\u200b" * 200_000, "a" * 100_000),
    ],
    ids=range(6),
)
def test_hostile_text_takes_no_long_time(text: str, quote: str) -> None:
    # The thread's own time: other tests on the same cores are no hostile text.
    started = time.thread_time()
    fold(text).find(quote)
    assert time.thread_time() - started < 5
