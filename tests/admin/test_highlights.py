"""Facts beside the words that prove them."""

from typing import Any

import pytest
from django.urls import reverse

from derive.admin.display.untrusted_text import visible
from derive.admin.jobs.highlights import compare
from tests.admin.conftest import ANSWER, EVIDENCE, HOSTILE, Browse, Scene


def _fact(quote: Any, *ids: str) -> dict[str, Any]:
    return {"evidence_ids": list(ids), "quote": quote}


def _bundle(text: str) -> dict[str, Any]:
    return {"items": [{"evidence_id": "E", "text": text}]}


def test_a_quote_is_marked_where_it_stands_whatever_the_white_space() -> None:
    compared = compare(_fact("a  b c", "E"), _bundle("\n x a\n\tb  c y"))
    assert [(part.text, part.numbers) for part in compared.items[0].segments] == [
        ("\n x ", ""),
        ("a\n\tb  c", "0"),
        (" y", ""),
    ]
    assert compared.facts[0].grounded


def test_a_quote_in_plain_typography_is_marked_where_it_stands() -> None:
    compared = compare(_fact('the "first" report', "E"), _bundle("of the “ﬁrst”\u00a0re-\nport, e\u0301"))
    assert [(part.text, part.numbers) for part in compared.items[0].segments] == [
        ("of ", ""),
        ("the “ﬁrst”\u00a0re-\nport", "0"),
        (", e\u0301", ""),
    ]
    assert compared.facts[0].grounded


def test_quotes_that_overlap_share_their_stretch() -> None:
    compared = compare([_fact("a b", "E"), _fact("b c", "E")], _bundle("a b c"))
    assert [(part.text, part.numbers) for part in compared.items[0].segments] == [
        ("a ", "0"),
        ("b", "0 1"),
        (" c", "1"),
    ]


@pytest.mark.parametrize("fact", [_fact("x", "E"), _fact("a", "F"), _fact("", "E"), _fact(None, "E"), _fact("a")])
def test_a_quote_that_is_not_there_is_ungrounded(fact: dict[str, Any]) -> None:
    compared = compare(fact, _bundle("a"))
    assert not compared.facts[0].grounded
    assert {part.numbers for part in compared.items[0].segments} == {""}


@pytest.mark.parametrize("bundle", [None, [], {"items": 1}, {"items": [1, {"text": 2}]}])
def test_a_bundle_of_another_shape_shows_nothing(bundle: Any) -> None:
    assert compare(ANSWER, bundle).items == ()


def test_what_hides_or_reorders_text_is_written_out_and_text_is_bounded() -> None:
    assert visible("a\u202eb\x07\n") == "a⟨U+202E⟩b⟨U+0007⟩\n"
    assert visible("x" * 50, 10) == "x" * 10 + "… (cut: 50 characters)"


def test_the_page_shows_the_grounded_and_the_ungrounded_fact(browse: Browse, scene: Scene) -> None:
    page = browse("operator").get(reverse("admin:derive_job_change", args=[scene.done]))
    grounded, ungrounded = page.context["comparison"].facts
    assert (grounded.grounded, ungrounded.grounded) == (True, False)
    assert '<mark class="is-unjudged" data-facts="0"><span id="mark-0"></span>Skywalker was\nborn<a' in page.text
    assert "UNGROUNDED" in page.text
    assert HOSTILE not in page.text
    assert "<script>alert" not in page.text
    assert "\u202e" not in page.text
    assert EVIDENCE[0]["text"] not in browse("viewer").get(page.request["PATH_INFO"]).text


def test_a_file_that_was_changed_in_the_lake_is_told_loudly(browse: Browse, scene: Scene) -> None:
    (prompt,) = scene.lake.rglob("prompt.txt")
    prompt.chmod(0o644)
    prompt.write_text("forged")
    page = browse("operator").get(reverse("admin:derive_job_change", args=[scene.done]))
    assert "prompt.txt is NOT what was recorded" in page.text
