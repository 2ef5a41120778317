"""Facts beside the words that prove them, for an answer that has no facts stored."""

from typing import Any

import pytest
from django.urls import reverse

from derive.admin.display.untrusted_text import visible
from derive.admin.jobs.highlights import unjudged_facts
from derive.fact_report.shown import MarkedFacts, show_facts
from derive.fact_report.stored import evidence_of
from tests.admin.conftest import ANSWER, EVIDENCE, HOSTILE, Browse, Scene


def _fact(quote: Any, *ids: str) -> dict[str, Any]:
    return {"evidence_ids": list(ids), "quote": quote}


def _marked(answer: Any, *texts: str) -> MarkedFacts:
    bundle = {"items": [{"evidence_id": name, "text": text} for name, text in zip("EF", texts, strict=False)]}
    evidence = evidence_of(bundle).items
    return show_facts(unjudged_facts(answer, evidence), evidence)


def _parts(marked: MarkedFacts) -> list[tuple[str, str]]:
    return [(part.text, part.numbers) for part in marked.items[0].segments]


def test_a_quote_is_marked_where_it_stands_whatever_the_white_space() -> None:
    marked = _marked(_fact("a  b c", "E"), "\n x a\n\tb  c y")
    assert _parts(marked) == [("\n x ", ""), ("a\n\tb  c", "0"), (" y", "")]
    assert marked.facts[0].is_marked
    assert (marked.facts[0].verdict_words, marked.facts[0].place) == ("Not judged", "E, characters 4–11")


def test_a_quote_in_plain_typography_is_marked_where_it_stands() -> None:
    marked = _marked(_fact('the "first" report', "E"), "of the “ﬁrst”\u00a0re-\nport, e\u0301")
    assert _parts(marked) == [("of ", ""), ("the “ﬁrst”\u00a0re-\nport", "0"), (", e\u0301", "")]


def test_quotes_that_overlap_share_their_stretch() -> None:
    assert _parts(_marked([_fact("a b", "E"), _fact("b c", "E")], "a b c")) == [("a ", "0"), ("b", "0 1"), (" c", "1")]


def test_a_quote_is_marked_in_the_first_item_it_cites_and_stands_in() -> None:
    marked = _marked(_fact("b", "E", "F"), "a", "a b")
    assert [[part.numbers for part in item.segments] for item in marked.items] == [[""], ["", "0"]]


@pytest.mark.parametrize("fact", [_fact("x", "E"), _fact("a", "F"), _fact("", "E"), _fact(None, "E"), _fact("a")])
def test_a_quote_that_is_not_there_is_ungrounded(fact: dict[str, Any]) -> None:
    marked = _marked(fact, "a")
    assert (marked.facts[0].is_marked, marked.facts[0].verdict_words) == (False, "Ungrounded")
    assert _parts(marked) == [("a", "")]


@pytest.mark.parametrize("bundle", [None, [], {"items": 1}, {"items": [1, {"text": 2}]}])
def test_a_bundle_of_another_shape_shows_nothing(bundle: Any) -> None:
    evidence = evidence_of(bundle).items
    marked = show_facts(unjudged_facts(ANSWER, evidence), evidence)
    assert marked.items == ()
    assert len(marked.facts) == 2


def test_what_hides_or_reorders_text_is_written_out_and_text_is_bounded() -> None:
    assert visible("a\u202eb\x07\n") == "a⟨U+202E⟩b⟨U+0007⟩\n"
    assert visible("x" * 50, 10) == "x" * 10 + "… (cut: 50 characters)"


def test_the_page_shows_the_grounded_and_the_ungrounded_fact(browse: Browse, scene: Scene) -> None:
    page = browse("operator").get(reverse("admin:derive_job_change", args=[scene.done]))
    assert [fact.is_marked for fact in page.context["answer"].marked.facts] == [True, False]
    assert (
        '<mark class="is-unjudged has-unjudged" data-facts="0"><span id="mark-0"></span>Skywalker was\nborn<a'
        in page.text
    )
    assert 'href="#mark-0"' in page.text
    assert 'href="#mark-1"' not in page.text
    assert "The quote does not stand in E1." in page.text
    assert HOSTILE not in page.text
    assert "<script>alert" not in page.text
    assert "\u202e" not in page.text
    assert EVIDENCE[0]["text"] not in browse("viewer").get(page.request["PATH_INFO"]).text


def test_a_file_that_was_changed_in_the_lake_is_reported_loudly(browse: Browse, scene: Scene) -> None:
    (prompt,) = scene.lake.rglob("prompt.txt")
    prompt.chmod(0o644)
    prompt.write_text("forged")
    page = browse("operator").get(reverse("admin:derive_job_change", args=[scene.done]))
    assert "prompt.txt is NOT what was recorded" in page.text
