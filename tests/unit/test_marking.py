"""Places of facts marked in a text: no overlap, nothing lost, nothing that hides."""

from hypothesis import given
from hypothesis import strategies as st

from derive.fact_report import marking
from derive.fact_report.marking import ProofPlace, Segment, mark_text
from derive.visible_text import visible

ODD = st.text(st.characters(codec=None, exclude_categories=[]), max_size=40)


def parts(text: str, *places: ProofPlace) -> list[tuple[str, tuple[int, ...]]]:
    return [(segment.text, segment.facts) for segment in mark_text(text, places)]


def test_a_text_without_places_is_one_segment_and_an_empty_one_is_none() -> None:
    assert mark_text("plain", ()) == (Segment("plain"),)
    assert mark_text("", [ProofPlace(0, 0, 1)]) == ()


def test_places_that_overlap_share_the_stretch_between() -> None:
    assert parts("a b c", ProofPlace(0, 0, 3), ProofPlace(1, 2, 5)) == [("a ", (0,)), ("b", (0, 1)), (" c", (1,))]


def test_a_place_inside_another_and_two_at_the_same_place_are_each_marked() -> None:
    assert parts("abcd", ProofPlace(7, 1, 2), ProofPlace(3, 0, 4), ProofPlace(5, 1, 2)) == [
        ("a", (3,)),
        ("b", (3, 5, 7)),
        ("cd", (3,)),
    ]


def test_each_fact_begins_and_ends_in_exactly_one_segment() -> None:
    segments = mark_text("a b c", [ProofPlace(0, 0, 3), ProofPlace(1, 2, 5), ProofPlace(2, 2, 3)])
    assert [(one.begins, one.ends) for one in segments] == [((0,), ()), ((1, 2), (0, 2)), ((), (1,))]


def test_a_stretch_has_the_verdicts_of_its_facts_the_worst_first() -> None:
    places = [ProofPlace(0, 0, 3, "SUPPORTED"), ProofPlace(1, 1, 3, "NOT_ENOUGH_INFO"), ProofPlace(2, 2, 3, "REFUTED")]
    verdicts = [one.verdicts for one in mark_text("abcd", places)]
    assert verdicts == [
        ("SUPPORTED",),
        ("NOT_ENOUGH_INFO", "SUPPORTED"),
        ("REFUTED", "NOT_ENOUGH_INFO", "SUPPORTED"),
        (),
    ]


def test_places_outside_the_text_mark_nothing() -> None:
    outside = [
        ProofPlace(0, -1, 2),
        ProofPlace(1, 2, 2),
        ProofPlace(2, 3, 1),
        ProofPlace(3, 2, 6),
        ProofPlace(4, 9, 12),
    ]
    assert parts("hello", *outside) == [("hello", ())]


def test_offsets_are_code_points_also_behind_characters_of_more_than_one_unit() -> None:
    assert parts("🚀𝒳é x", ProofPlace(0, 4, 5)) == [("🚀𝒳é ", ()), ("x", (0,))]


def test_what_hides_or_reorders_is_written_out_without_moving_a_mark() -> None:
    text = "a\u202eb\ud800c\x07d שלום"
    assert parts(text, ProofPlace(0, 2, 5)) == [("a⟨U+202E⟩", ()), ("b⟨U+D800⟩c", (0,)), ("⟨U+0007⟩d שלום", ())]


def test_a_long_passage_is_shortened_with_the_omitted_length() -> None:
    length = marking.MAX_STRETCH_CHARACTERS
    text = "x" * (length + 500) + "proof" + "y" * length
    segments = mark_text(text, [ProofPlace(4, length + 500, length + 505)])
    assert [(one.left_out, one.facts) for one in segments] == [(0, ()), (500, ()), (0, ()), (0, (4,)), (0, ())]
    assert segments[3].text == "proof"
    marked = mark_text("q" * (length + 1), [ProofPlace(2, 0, length + 1, "REFUTED")])
    assert [(one.left_out, one.begins, one.ends) for one in marked] == [(0, (2,), ()), (1, (), ()), (0, (), (2,))]
    assert {one.verdicts for one in marked} == {("REFUTED",)}


@given(ODD, st.lists(st.tuples(st.integers(-3, 45), st.integers(-3, 45)), max_size=12))
def test_segments_are_the_whole_text_once_and_list_exactly_the_facts_that_cover_them(
    text: str, spans: list[tuple[int, int]]
) -> None:
    places = [ProofPlace(number, start, end) for number, (start, end) in enumerate(spans)]
    segments = mark_text(text, places)
    assert "".join(one.text for one in segments) == "".join(visible(character) for character in text)
    valid = [place for place in places if marking.lies_in(text, place)]
    assert sorted(fact for one in segments for fact in one.begins) == [place.fact for place in valid]
    assert sorted(fact for one in segments for fact in one.ends) == [place.fact for place in valid]
    for place in valid:
        covered = "".join(one.text for one in segments if place.fact in one.facts)
        assert covered == "".join(map(visible, text[place.start : place.end]))


def test_a_thousand_overlapping_places_are_marked_quickly() -> None:
    places = [ProofPlace(number, number, number + 1_000) for number in range(1_000)]
    segments = mark_text("x" * 2_000, places)
    assert len(segments) == 2_000
    assert max(len(one.facts) for one in segments) == 1_000
