"""Facts decided by the keyboard alone, on a page that keeps nobody out."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect
from pytest_django.fixtures import Settings

from derive.lake import Lake
from derive.models import Fact, FactReview, GoldenCase
from derive.states import Verdict
from tests.admin.facts_scene import QUOTES, TEXT, a_fact, review_only_doubted_facts, three_facts, told
from tests.browser.barriers import THEMES, barriers
from tests.browser.conftest import Visit

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True, databases=["default", "lease"])]

PAGE = "/admin/derive/factreview/"
FACTS = 50
SCREENS = ((1280, 900), (390, 844))


@pytest.fixture
def lake(empty_queue: None, settings: Settings, tmp_path: Path) -> Lake:
    settings.LAKE_URL = str(tmp_path)
    review_only_doubted_facts()
    return Lake.open(settings.LAKE_URL)


def test_fifty_facts_are_reviewed_by_the_keyboard_with_a_key_each(visit: Visit, lake: Lake) -> None:
    told(
        lake,
        tuple(
            a_fact(n, QUOTES[0], fact_key=f"key-{n:02}", value_key=None, verdict=Verdict.NOT_ENOUGH_INFO)
            for n in range(FACTS)
        ),
    )
    page = visit.page
    page.goto(PAGE)
    pressed = 0
    for n in range(FACTS):
        expect(page.locator(".review-key")).to_have_text(f"key-{n:02}")
        page.keyboard.press("arn"[n % 3])
        pressed += 1
    expect(page.get_by_text("Nothing to review")).to_be_visible()
    expect(page.locator("[data-review-count]")).to_have_text(str(FACTS))
    assert pressed <= 2 * FACTS
    assert FactReview.objects.count() == FACTS
    page.keyboard.press("u")
    expect(page.locator(".review-key")).to_have_text(f"key-{FACTS - 1:02}")


def test_a_quote_is_selected_with_the_keyboard_and_the_value_corrected(visit: Visit, lake: Lake) -> None:
    told(lake, three_facts())
    page = visit.page
    page.goto(PAGE)
    expect(page.locator(".review-value")).to_have_text("41 BBY")
    expect(page.locator("mark.is-chosen").first).to_be_in_viewport()
    page.keyboard.press("e")
    page.keyboard.type("19 BBY")
    page.locator("[data-evidence]").focus()
    for _ in range(2):
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    quote = page.locator("[data-panel=edit] [name=quote]").input_value()
    assert quote in TEXT
    page.keyboard.press("Enter")
    expect(page.locator(".review-value")).to_have_text("Survey Guild")
    fact = Fact.objects.get(fact_index=1)
    assert (fact.review_status, fact.corrected_value) == ("CORRECTED", "19 BBY")
    assert (fact.corrected_quote or fact.quote) == quote


def test_next_and_previous_decide_nothing(visit: Visit, lake: Lake) -> None:
    told(lake, three_facts())
    page, value = visit.page, visit.page.locator(".review-value")
    page.goto(PAGE)
    expect(value).to_have_text("41 BBY")
    page.keyboard.press("j")
    expect(value).to_have_text("Survey Guild")
    page.keyboard.press("k")
    expect(value).to_have_text("41 BBY")
    assert not FactReview.objects.exists()


def test_a_reviewed_answer_becomes_a_golden_case_by_one_key(visit: Visit, lake: Lake) -> None:
    asked = json.dumps({"entity_type": "character", "entity_id": "tala-venn"})
    for sha256 in ("ab" * 32, "cd" * 32):
        doubted = a_fact(0, QUOTES[0], fact_key="home", value_key=None, verdict=Verdict.NOT_ENOUGH_INFO)
        told(lake, (doubted,), input_json=asked, evidence_sha256=sha256, entity_id=f"entity-{sha256[:2]}")
    page = visit.page
    page.goto(PAGE)
    for entity, is_first in (("entity-ab", True), ("entity-cd", False)):
        expect(page.locator(".review-about")).to_contain_text(entity)
        page.keyboard.press("a")
        expect(page.get_by_text(f"All facts about {entity}")).to_be_visible()
        page.keyboard.press("g")
        if is_first:
            page.keyboard.type("births")
            page.keyboard.press("Enter")
        expect(page.locator("[data-review-notice]")).to_contain_text(f"Golden case {entity} in births made")
    assert GoldenCase.objects.count() == 2


def test_the_review_pages_keep_nobody_out(visit: Visit, lake: Lake) -> None:
    told(lake, three_facts())
    page, wrong = visit.page, []
    for address in (PAGE, f"{PAGE}agreement/", f"{PAGE}policy/"):
        page.goto(address)
        if address == PAGE:
            expect(page.locator(".review-value")).to_have_text("41 BBY")
            page.keyboard.press("e")
        for width, height in SCREENS:
            page.set_viewport_size({"width": width, "height": height})
            wrong += [f"{address} {width}: {one}" for one in barriers(page, themes=THEMES)]
    assert not wrong, "\n".join(wrong)
