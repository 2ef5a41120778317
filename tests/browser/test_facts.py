"""Facts before one's eyes: chosen by a click, found by their anchors without a script, readable in both themes."""

from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, expect
from pytest_django.fixtures import Settings

from derive.admin.display.fact_links import fact_address
from derive.fact_report.document import ReportDocument
from derive.fact_report.report import ReportSelection, fill
from derive.lake import Lake
from derive.models import Fact
from derive.sql.clock import database_now
from tests.admin.facts_scene import a_fact, a_lost_fact, three_facts, told
from tests.browser.barriers import THEMES, barriers
from tests.browser.conftest import Visit

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True, databases=["default", "lease"])]

WIDTHS = (1280, 390)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")


@pytest.fixture
def lake(empty_queue: None, settings: Settings, tmp_path: Path) -> Lake:
    settings.LAKE_URL = str(tmp_path)
    lake = Lake.open(settings.LAKE_URL)
    told(lake, (*three_facts(), a_lost_fact(3)))
    told(
        lake,
        (a_fact(0, "Corvessa", fact_key="birth_place", value="Arrel", value_key="arrel"),),
        evidence_sha256="c" * 64,
    )
    return lake


def test_a_click_marks_the_whole_place_and_keeps_the_choice_in_the_address(visit: Visit, lake: Lake) -> None:
    page, fact = visit.page, Fact.objects.get(fact_index=1)
    page.goto(f"/admin/derive/job/{fact.job_id}/change/")
    page.locator("#fact-1 a.fact-body").click()
    chosen = page.locator("mark.is-chosen")
    expect(chosen).to_have_text(["born on Corvessa", " in 19 BBY"])
    assert page.evaluate("location.hash") == "#mark-1"
    page.reload()
    expect(chosen).to_have_count(2)
    page.locator("mark a.fact-number").first.click()
    expect(page.locator("#fact-0")).to_be_in_viewport()


def test_without_the_script_a_fact_leads_to_its_mark(visit: Visit, lake: Lake) -> None:
    # Unfold's own scripts have to run: its pages stay hidden until they do.
    page, fact = visit.page, Fact.objects.get(fact_index=2)
    page.route("**/highlight.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    page.set_viewport_size({"width": 1000, "height": 400})
    page.goto(f"/admin/derive/job/{fact.job_id}/change/")
    page.locator("#fact-2 a.fact-body").click()
    mark = page.locator("mark:has(#mark-2)")
    expect(mark).to_be_in_viewport()
    expect(mark).to_have_css("background-color", "rgb(250, 204, 21)")
    page.goto(fact_address(fact))
    expect(page.locator("#fact-2")).to_be_in_viewport()


def test_the_pages_of_facts_keep_nobody_out(visit: Visit, lake: Lake) -> None:
    page, fact = visit.page, Fact.objects.get(fact_index=1)
    wrong = []
    addresses = (
        f"/admin/derive/job/{fact.job_id}/change/",
        "/admin/derive/fact/",
        "/admin/derive/fact/entity/?entity=tala-venn",
        "/admin/derive/fact/entity/",
    )
    for address in addresses:
        page.goto(address)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            wrong += [f"{address} {width}: {one}" for one in barriers(page, themes=THEMES)]
    assert not wrong, "\n".join(wrong)


def test_a_report_is_readable_by_all_and_filters_by_verdict_without_a_script(
    chromium: Browser, lake: Lake, tmp_path: Path
) -> None:
    made = tmp_path / "facts.html"
    with ReportDocument("Facts") as document, made.open("wb") as sink:
        fill(document, ReportSelection(entities=(("character", "tala-venn"),)), lake)
        document.write_to(sink, made_utc=database_now())
    complaints: list[str] = []

    def complain(said: ConsoleMessage) -> None:
        complaints.append(said.text)

    for scheme in SCHEMES:
        context = chromium.new_context(color_scheme=scheme, java_script_enabled=False)
        page = context.new_page()
        page.on("console", complain)
        page.goto(made.as_uri())
        expect(page.locator(".fact:visible")).to_have_count(5)
        page.get_by_text("Refuted 1").click()
        expect(page.locator(".fact:visible")).to_have_count(1)
        expect(page.locator(".run:visible")).to_have_count(1)
        context.close()
        # The rules are looked at by a script, which the report's own policy would not let run.
        context = chromium.new_context(color_scheme=scheme, bypass_csp=True)
        page = context.new_page()
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            page.goto(made.as_uri())
            assert not barriers(page)
        context.close()
    assert complaints == []


def test_a_long_document_leads_from_the_list_and_the_map_to_each_place(visit: Visit, lake: Lake) -> None:
    text = "".join(f"{'Nothing is known of the cargo. ' * 12}Ship s{number} carries ore.\n\n" for number in range(200))
    verdicts = ("REFUTED", "NOT_ENOUGH_INFO", "SUPPORTED", "SUPPORTED")
    facts = tuple(
        a_fact(number, f"Ship s{number} carries ore", text=text, verdict=verdicts[number % 4])
        for number in range(0, 200, 3)
    )
    job_id, _run_id = told(
        lake, tuple(one.model_copy(update={"fact_index": n}) for n, one in enumerate(facts)), text=text
    )
    page = visit.page
    page.goto(f"/admin/derive/job/{job_id}/document/")
    page.locator("#fact-60 a.fact-body").click()
    expect(page.locator("mark:has(#mark-60)")).to_be_in_viewport()
    page.locator(".document-map a").first.click()
    expect(page.locator("mark:has(#mark-0)")).to_be_in_viewport()
