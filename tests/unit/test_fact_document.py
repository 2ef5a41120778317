"""The report of facts as one HTML file: nothing runs in it, nothing is fetched, whatever the texts hold."""

import base64
import hashlib
import html
import io
import re
from datetime import UTC, datetime
from html.parser import HTMLParser

import pytest

from derive.fact_report import document
from derive.fact_report.document import ReportDocument, RunSection
from derive.fact_report.shown import show_facts
from derive.fact_report.stored import EvidenceText, StoredFact

HOSTILE = "</style></p><script>alert(1)</script><img src=x onerror=alert(2)>\u202e\ud800"
EVIDENCE = {"e1": EvidenceText("urn:1", f"Tala was born in 19 BBY. {HOSTILE}"), HOSTILE: EvidenceText(HOSTILE, HOSTILE)}
FACTS = (
    StoredFact(
        fact_index=0,
        fact_key="birth",
        value="41 BBY",
        quote="born in 19 BBY",
        evidence_id="e1",
        quote_start=9,
        quote_end=23,
        verdict="REFUTED",
        why="The quote says 19 BBY.",
        review_status="OPEN",
        in_conflict=True,
    ),
    StoredFact(
        fact_index=1,
        fact_key=HOSTILE,
        value=HOSTILE,
        quote=HOSTILE,
        evidence_id=HOSTILE,
        quote_start=0,
        quote_end=9,
        verdict="SUPPORTED",
        why=HOSTILE,
        admitted=True,
    ),
    StoredFact(fact_index=2, cites=(HOSTILE,), verdict="NOT_ENOUGH_INFO", corrected_value=HOSTILE),
)


def made(*runs: RunSection, title: str = "Facts") -> str:
    sink = io.BytesIO()
    with ReportDocument(title) as report:
        for run in runs:
            report.add(run)
        report.write_to(sink, made_utc=datetime(2026, 1, 31, 12, tzinfo=UTC))
    return sink.getvalue().decode()


def a_run(**values: object) -> RunSection:
    fields = {"heading": "character tala", "interrogation": "k", "lineage": (), "marked": show_facts(FACTS, EVIDENCE)}
    return RunSection(**{**fields, **values})  # type: ignore[arg-type]


class Tags(HTMLParser):
    """The tags and attributes of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += attrs


def test_hostile_texts_make_no_tag_no_attribute_and_hide_nothing() -> None:
    run = a_run(heading=HOSTILE, interrogation=HOSTILE, lineage=(("Model", HOSTILE),), fault=HOSTILE)
    page = made(run, title=HOSTILE)
    tags = Tags(page)
    assert not {"script", "img", "link", "iframe", "form", "object"} & tags.names
    assert not [name for name, _value in tags.attributes if name.startswith("on") or name == "style"]
    assert all((value or "").startswith("#") for name, value in tags.attributes if name in {"href", "src"})
    assert "\u202e" not in page
    assert "⟨U+202E⟩⟨U+D800⟩" in page


def test_its_policy_lets_nothing_run_and_only_its_own_style_hold() -> None:
    page = made(a_run())
    policy = html.unescape(re.findall(r'Content-Security-Policy"\s+content="([^"]+)"', page)[0])
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert "url(" not in style
    assert "@import" not in style


def test_each_fact_leads_to_its_mark_and_back_and_ids_are_unique() -> None:
    page = made(a_run(), a_run())
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    targets = set(re.findall(r'href="#([^"]+)"', page))
    assert targets <= set(ids)
    assert {"run-1-mark-0", "run-1-fact-0", "run-2-mark-1", "run-2-fact-1"} <= targets
    assert "run-1-mark-2" not in ids
    assert re.search(r'<mark class="is-refuted has-refuted"[^>]*><span id="run-1-mark-0"></span>born in 19 BBY<', page)


def test_facts_are_counted_by_what_a_page_can_choose() -> None:
    page = made(a_run(), a_run())
    told = dict(re.findall(r'<label for="show-(\w+)"[^>]*>[^<]*<b>([0-9,]+)</b>', page))
    assert told == {
        "all": "6",
        "supported": "2",
        "refuted": "2",
        "not_enough_info": "2",
        "conflict": "2",
        "review": "2",
        "admitted": "2",
    }


def test_a_run_without_its_evidence_says_why_and_still_shows_its_facts() -> None:
    page = made(a_run(marked=show_facts(FACTS, {}), fault="it is gone", facts_left_out=7))
    assert "it is gone" in page
    assert "that evidence is not at hand" in page
    assert "7 more facts of this answer are not shown." in page
    assert "<mark" not in page


def test_the_contents_name_each_run_unless_there_are_very_many() -> None:
    assert "Contents" not in made(a_run())
    assert '<a href="#run-2"><bdi>character tala</bdi></a>' in made(a_run(), a_run())


def test_a_report_of_very_many_runs_has_no_contents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_CONTENTS", 1)
    assert "Contents" not in made(a_run(), a_run(), a_run())
