"""The list of jobs by keyboard, on a laptop and on a phone."""

import pytest
from playwright.sync_api import Page, expect

from derive.errors import ErrorKind
from derive.queue import JobQueue
from tests.browser.barriers import barriers
from tests.browser.conftest import Visit
from tests.contract.scenes import claimed, failure

pytestmark = pytest.mark.browser

LIST = "/admin/derive/job/"
NAMES = ("third", "second", "first")


@pytest.fixture
def page(visit: Visit) -> Page:
    """Three failed jobs, the newest first."""
    queue = JobQueue()
    for name in reversed(NAMES):
        claim = claimed(queue, entity_id=name, max_attempts=1)
        queue.complete(failure(claim, error="the answer was cut off " * 20, error_kind=ErrorKind.TRUNCATED_OUTPUT))
    visit.page.goto(LIST)
    return visit.page


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.innerText")).strip()


def test_rows_are_walked_selected_and_opened_by_keys(page: Page) -> None:
    for key, name in (("j", NAMES[0]), ("j", NAMES[1]), ("j", NAMES[2]), ("j", NAMES[2]), ("k", NAMES[1])):
        page.keyboard.press(key)
        assert focused(page) == name
    expect(page.get_by_role("button", name="Continue …")).to_be_disabled()
    page.keyboard.press("x")
    expect(page.locator("[data-chosen]")).to_have_text("1")
    expect(page.get_by_role("button", name="Continue …")).to_be_enabled()
    page.keyboard.press("k")
    page.keyboard.press("Enter")
    page.wait_for_url("**/change/")
    expect(page.locator(".holocron-job h2").first).to_contain_text(NAMES[0])


def test_a_slash_searches_and_typed_letters_are_letters(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("xjk/")
    assert page.locator("input[name=q]").input_value() == "xjk/"
    expect(page.locator("[data-chosen]")).to_have_text("0")


def test_who_wants_no_keys_has_none(page: Page) -> None:
    page.get_by_text("Display", exact=True).click()
    assert not barriers(page)
    page.get_by_role("checkbox", name="j and k move").uncheck()
    page.get_by_role("checkbox", name="Priority").check()
    page.get_by_role("radio", name="Compact").check()
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("columnheader", name="Priority")).to_be_visible()
    page.keyboard.press("j")
    assert focused(page) not in NAMES


def test_the_first_900_pixels_say_all_that_matters_and_a_phone_shows_cards(page: Page) -> None:
    for name in ("State", "Job", "Error or answer", "Age", "Model", "Attempts"):
        cell = page.get_by_role("cell").and_(page.locator(f"td[data-label='{name}']")).first.bounding_box()
        content = page.locator(".hc-scroll").bounding_box()
        assert cell is not None
        assert content is not None
        assert cell["x"] + cell["width"] <= content["x"] + content["width"]
    page.set_viewport_size({"width": 390, "height": 900})
    cards = [row.bounding_box() for row in page.locator("tbody tr").all()]
    assert len(cards) == len(NAMES)
    assert all(card is not None and card["width"] > 300 and card["x"] >= 0 for card in cards)
    assert not barriers(page)


def test_a_view_is_saved_and_opened_by_the_keyboard_and_on_a_phone(page: Page) -> None:
    page.goto(f"{LIST}?error_kind=truncated_output")
    name, menu = page.get_by_label("Save the filter as"), page.locator("summary", has_text="Views")
    page.keyboard.press("v")
    expect(name).to_be_focused()
    page.keyboard.type("Cut off")
    assert not barriers(page)
    page.keyboard.press("Enter")
    page.wait_for_url("**view=*")
    view = page.get_by_role("navigation", name="Views").get_by_role("link", name="Cut off")
    expect(view).to_have_attribute("aria-current", "page")
    page.keyboard.press("v")
    expect(name).to_be_focused()
    page.keyboard.press("Escape")
    expect(menu).to_be_focused()
    page.set_viewport_size({"width": 390, "height": 900})
    page.goto(f"{LIST}?view=all")
    view.click()
    expect(view).to_have_attribute("aria-current", "page")
    menu.click()
    page.get_by_role("button", name="Open with it").click()
    page.goto(LIST)
    expect(view).to_have_attribute("aria-current", "page")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    menu.click()
    assert not barriers(page)
    page.get_by_role("button", name="Remove").click()
    expect(view).to_have_count(0)
