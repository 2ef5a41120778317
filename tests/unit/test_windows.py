"""Windows of long texts: they contain everything, overlap as asked, and end where a reader would pause."""

from itertools import groupby, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derive.contracts import Bounds
from derive.errors import EvidenceTooLarge
from derive.evidence.bundle import build_bundle, bundle_faults
from derive.evidence.tokens import TokenRates, make_up_of
from derive.interrogations.rendering import fence
from derive.windows.budget import WindowLimits, evidence_tokens, overlap_for
from derive.windows.cutting import cut
from derive.windows.halving import halve
from derive.windows.part_evidence import evidence_of_part, is_long
from derive.windows.window import CONTEXT_NOTE, Window
from tests.unit.evidence_samples import PLAIN, SCHEMA, build_whole, bundle_of, source

BOUNDS = Bounds()
tokens_of = TokenRates().most_tokens("")


def limits(**changes: int) -> WindowLimits:
    members = {"tokens": 500, "item_bytes": 2_000, "part_bytes": 5_000, "items": 40, "overlap": 100}
    return WindowLimits(**(members | changes))


def cut_text(text: str, **changes: int) -> list[Window]:
    return list(cut(build_whole(doc=text).items, limits(**changes), tokens_of))


def stretches(text: str, **changes: int) -> list[str]:
    return [window.text_in(text) for window in cut_text(text, **changes)]


SENTENCE = "The freighter left the harbour at dawn and carried forty crates of ore. "
PIECES = st.sampled_from(
    [
        *("word ", "naïve ", "слово ", "龍", "。", ". ", "\n", "\n\n", "# Heading\n", "| a | b |\n", "1,5 "),
        *("👩\u200d👩\u200d👧", "é", "🇩🇪", "x" * 40, "   ", "\t", "각", "\r\n", "\u0301"),
    ]
)
TEXTS = st.lists(PIECES, min_size=1, max_size=400).map("".join)


@settings(deadline=None, max_examples=60)
@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=2), TEXTS, min_size=1, max_size=4),
    st.integers(60, 400),
    st.integers(8, 600),
    st.integers(0, 80),
)
def test_windows_contain_all_text_within_their_limits(
    texts: dict[str, str], tokens: int, item_bytes: int, overlap: int
) -> None:
    chosen = limits(tokens=tokens, item_bytes=item_bytes, part_bytes=2 * item_bytes, overlap=overlap)
    if not any(text.strip() for text in texts.values()):
        return
    whole = build_whole(**texts)
    windows = list(cut(whole.items, chosen, tokens_of))
    assert windows == list(cut(whole.items, chosen, tokens_of))
    assert [part for part, _ in groupby(window.part_no for window in windows)] == list(
        range(1, windows[-1].part_no + 1)
    )
    for item in whole.items:
        own = [window for window in windows if window.evidence_id == item.evidence_id]
        covered = 0
        for window in own:
            assert 0 <= window.start < window.end <= len(item.text)
            assert not item.text[covered : window.start].strip()
            assert len(window.text_in(item.text).encode()) <= item_bytes
            assert tokens_of(window.text_in(item.text)) + tokens_of(window.header.in_words()) <= tokens
            covered = window.end
        assert not item.text[covered:].strip()
        for one, following in pairwise(own):
            assert one.start < following.start
            # Of the overlap only white space may be missing: windows of it alone are left out.
            latest = one.end - min(overlap, (one.end - one.start) // 2)
            assert not item.text[latest : following.start].strip()
    for _, part in groupby(windows, key=lambda window: window.part_no):
        bundle = evidence_of_part(
            whole,
            tuple(part),
            bounds=Bounds(max_item_bytes=item_bytes, max_total_bytes=2 * item_bytes),
            delimiter_key=b"key",
        )
        assert bundle_faults(bundle) == ()


@given(st.integers(0, 9_900), st.integers(1, 99))
def test_any_passage_as_long_as_the_overlap_is_whole_in_one_window(start: int, length: int) -> None:
    text = _prose(10_000)
    assert any(window.start <= start and start + length <= window.end for window in _windows_of_prose())
    assert len(text) == 10_000


def _prose(characters: int) -> str:
    return (SENTENCE * (characters // len(SENTENCE) + 1))[:characters]


def _windows_of_prose() -> list[Window]:
    if not _CACHED:
        _CACHED.extend(cut_text(_prose(10_000)))
    return _CACHED


_CACHED: list[Window] = []


def test_no_window_ends_or_begins_inside_a_word() -> None:
    text = " ".join(f"word{number}" for number in range(4_000))
    for window in cut_text(text):
        for border in {window.start, window.end} - {0, len(text)}:
            assert " " in text[border - 1 : border + 1]


def test_windows_end_before_headings_then_paragraphs_then_after_sentences() -> None:
    headed = "".join(f"# Part {number}\n\n{SENTENCE * 5}\n\n{SENTENCE * 5}\n\n" for number in range(9))
    assert all(window.startswith("# Part") for window in stretches(headed, overlap=0))
    paragraphs = f"{SENTENCE * 9}\n\n" * 12
    assert all(window.endswith(". \n\n") for window in stretches(paragraphs, overlap=0))
    assert all(window.endswith(". ") for window in stretches(SENTENCE * 200, overlap=0))


def test_a_line_of_five_million_characters_without_spaces_is_cut() -> None:
    text = "x" * 5_000_000
    windows = cut_text(text, item_bytes=8_192, tokens=4_000)
    assert windows[0].start == 0
    assert windows[-1].end == len(text)
    assert all(one.end - following.start >= 100 for one, following in pairwise(windows))


@pytest.mark.parametrize("cluster", ["👩\u200d👩\u200d👧", "e\u0301", "🇩🇪", "👍🏽", "\U0001d11e", "각", "a\r\n"])
def test_no_window_ends_inside_a_visible_character(cluster: str) -> None:
    text = cluster * 3_000
    for window in cut_text(text, item_bytes=500, tokens=128, overlap=0):
        assert window.start % len(cluster) == 0
        assert window.end % len(cluster) == 0


def test_a_window_says_where_it_is_in_its_document() -> None:
    text = f"# The Fleet\n\n## Ships\n\n{SENTENCE * 30}\n\n### Freighters\n\n{SENTENCE * 60}"
    last = cut_text(text)[-1]
    assert last.header.title == "The Fleet"
    assert last.header.section == ("Ships", "Freighters")
    assert last.header.before == SENTENCE.strip()
    assert cut_text(text)[0].header.in_words() == ""


@pytest.mark.parametrize(
    ("columns", "row"),
    [
        ("| name | crew |\n| --- | --- |", "| Ship {0} | {0} |"),
        ("name\tcrew\tport", "Ship {0}\t{0}\tHome"),
        ("name,crew,port", "Ship {0},{0},Home"),
        ("name;crew;port", "Ship {0};{0};Home"),
    ],
)
def test_each_window_of_a_long_table_repeats_its_columns(columns: str, row: str) -> None:
    rows = "\n".join(row.format(number) for number in range(20_000))
    text = f"Ships of the fleet\n\n{columns}\n{rows}\n"
    windows = cut_text(text)
    assert {window.header.columns for window in windows[1:]} == {columns.partition("\n")[0]}
    for window in windows[1:]:
        assert text[window.start - 1] == "\n"
    assert all(text[window.end - 1] == "\n" for window in windows[:-1])


def test_prose_with_commas_is_no_table() -> None:
    text = "\n".join("Red, green, and blue are colours" + "!" * (n % 3) + ", too" * (n % 4) for n in range(900))
    assert not any(window.header.columns for window in cut_text(text)[1:])


def test_short_items_share_a_part_and_a_long_one_has_its_own() -> None:
    whole = build_whole(a="short one", b="short two", c=SENTENCE * 60, d="short three")
    windows = list(cut(whole.items, limits(), tokens_of))
    part_of = {window.evidence_id: window.part_no for window in windows}
    assert part_of["a"] == part_of["b"] == 1
    assert part_of["c"] == part_of["d"] > 1
    assert len({window.part_no for window in windows if window.evidence_id == "c"}) > 1


def test_a_header_is_shown_as_context_and_is_no_item_of_evidence() -> None:
    whole = build_whole(doc=f"# Title\n\n{SENTENCE * 60}")
    last = list(cut(whole.items, limits(), tokens_of))[-1]
    bundle = evidence_of_part(whole, (last,), bounds=BOUNDS, delimiter_key=b"key")
    assert f"[[{bundle.delimiter}]] {CONTEXT_NOTE}\ntitle: Title\n" in fence(bundle)
    assert [item.text for item in bundle.items] == [last.text_in(whole.items[0].text)]


def test_windows_are_smaller_until_a_model_is_known() -> None:
    rates = TokenRates()
    before = rates.most_tokens("m")
    for _ in range(5):
        rates.learn(make_up_of(SENTENCE * 40), len(SENTENCE) * 10, model="m")
    assert rates.most_tokens("m")(SENTENCE * 9) < before(SENTENCE * 9)
    assert before(SENTENCE * 9) >= len(SENTENCE) * 9 // 4


def test_a_context_without_space_for_evidence_is_refused() -> None:
    assert evidence_tokens(num_ctx=8_192, num_predict=2_048, prompt_tokens=1_500) == 8_192 - 2_048 - 1_500
    assert evidence_tokens(num_ctx=4_096, num_predict=4_096, prompt_tokens=1_500) == 4_096 - 1_024 - 1_500
    with pytest.raises(EvidenceTooLarge, match="OLLAMA_NUM_CTX"):
        evidence_tokens(num_ctx=2_048, num_predict=2_048, prompt_tokens=1_500)


def test_the_overlap_keeps_the_longest_quote_whole() -> None:
    assert overlap_for(SCHEMA) == 1_000
    assert overlap_for({}) == 1_000
    assert overlap_for({"properties": {"quote": {"maxLength": 20}}}) == 200


def test_evidence_is_long_when_some_of_it_was_left_out() -> None:
    assert not is_long(bundle_of(a="short"))
    cut_bundle = build_bundle([source("a", "x" * 9_000)], bounds=BOUNDS, redactor=PLAIN, delimiter_key=b"key")
    assert is_long(cut_bundle)
    assert not is_long(build_whole(a="x" * 9_000))


# Halving

HALVED = st.integers(300, 3_000)


@settings(deadline=None, max_examples=60)
@given(TEXTS, HALVED, st.integers(0, 400))
def test_halves_contain_the_window_are_shorter_and_split_no_character(text: str, length: int, overlap: int) -> None:
    text = (text * (length // len(text) + 1))[:length]
    window = Window(part_no=1, evidence_id="doc", start=length // 10, end=length)
    halves = halve([window], {"doc": text}, overlap=overlap)
    assert halves is not None
    ((first,), (second,)) = halves
    assert (first.start, second.end) == (window.start, window.end)
    assert first.start < second.start <= first.end < second.end
    assert halves == halve([window], {"doc": text}, overlap=overlap)


def test_a_passage_of_the_overlap_is_whole_in_one_half() -> None:
    text = SENTENCE * 40
    window = Window(part_no=1, evidence_id="doc", start=0, end=len(text))
    halves = halve([window], {"doc": text}, overlap=200)
    assert halves is not None
    ((first,), (second,)) = halves
    assert first.end - second.start >= 200
    assert max(one.end - one.start for one in (first, second)) < 0.7 * len(text)
    assert second.header.before


def test_windows_of_several_items_are_shared_out() -> None:
    sizes = {"a": 900, "b": 50, "c": 50, "d": 50}
    windows = [Window(part_no=3, evidence_id=name, start=0, end=size) for name, size in sizes.items()]
    halves = halve(windows, {}, overlap=0)
    assert halves is not None
    assert [[one.evidence_id for one in half] for half in halves] == [["a"], ["b", "c", "d"]]


def test_a_few_sentences_are_not_halved() -> None:
    text = SENTENCE * 2
    assert halve([Window(part_no=1, evidence_id="doc", start=0, end=len(text))], {"doc": text}, overlap=0) is None
