"""Long texts with all facts marked: nothing is left out, and each fact is marked where it stands."""

from hypothesis import given
from hypothesis import strategies as st

from derive.fact_report.long_text import PIECE_CHARACTERS, map_of, pieces_of
from derive.fact_report.marking import ProofPlace


def places(*spans: tuple[int, int]) -> list[ProofPlace]:
    return [ProofPlace(number, start, end, "SUPPORTED") for number, (start, end) in enumerate(spans)]


@given(
    st.integers(0, 30_000),
    st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 9_000)).map(lambda one: (one[0], sum(one))), max_size=8),
)
def test_pieces_hold_the_whole_text_and_begin_and_end_each_fact_once(length: int, spans: list[tuple[int, int]]) -> None:
    text = ("line of text\n" * (length // 13 + 1))[:length]
    pieces = pieces_of(text, places(*spans))
    assert [piece.start for piece in pieces] == sorted({piece.start for piece in pieces})
    segments = [segment for piece in pieces for segment in piece.segments]
    shown = sum(len(segment.text) + segment.left_out for segment in segments)
    assert shown == length
    inside = [number for number, (_, end) in enumerate(spans) if end <= length]
    assert sorted(fact for segment in segments for fact in segment.begins) == inside
    assert sorted(fact for segment in segments for fact in segment.ends) == inside


def test_no_part_of_a_text_without_facts_is_left_out() -> None:
    text = "x" * (5 * PIECE_CHARACTERS)
    assert not any(segment.left_out for piece in pieces_of(text, ()) for segment in piece.segments)


def test_the_map_shows_where_facts_begin_and_the_worst_verdict() -> None:
    found = [*places((0, 5), (50, 60)), ProofPlace(2, 52, 60, "REFUTED"), ProofPlace(3, 90, 200, "SUPPORTED")]
    cells = map_of("x" * 100, found, cells=10)
    assert [cell.facts for cell in cells] == [1, 0, 0, 0, 0, 2, 0, 0, 0, 0]
    assert (cells[5].verdict, cells[5].first_fact) == ("REFUTED", 1)
