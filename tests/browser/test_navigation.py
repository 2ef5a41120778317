"""The sidebar fits a laptop's screen, and the command palette leads anywhere by the keyboard."""

import pytest
from playwright.sync_api import expect

from derive.queue import JobQueue
from tests.browser.barriers import barriers
from tests.browser.conftest import Visit
from tests.contract.scenes import queued

pytestmark = pytest.mark.browser

HEIGHTS = "const menu = document.querySelector('#nav-sidebar-apps .simplebar-content-wrapper')"


def test_the_sidebar_needs_no_scrolling_and_the_palette_goes_to_jobs_and_pages(visit: Visit) -> None:
    page = visit.page
    job = queued(JobQueue(), entity_id="luke")
    page.goto("/admin/")
    assert page.evaluate(f"(() => {{ {HEIGHTS}; return menu.scrollHeight - menu.clientHeight }})()") == 0
    page.keyboard.press("Control+k")
    box = page.get_by_role("combobox", name="Page, job id")
    expect(box).to_be_focused()
    expect(page.get_by_role("option", name="Retention")).to_be_visible()
    assert not barriers(page)
    page.keyboard.type("luke")
    expect(page.get_by_role("option")).to_have_count(2)
    assert not barriers(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{job.job_id}/change/")
    page.get_by_role("button", name="Go to …").click()
    page.keyboard.type("retention")
    page.keyboard.press("Enter")
    page.wait_for_url("**/retentionpolicy/")
    tabs = page.get_by_role("navigation", name="Automation")
    expect(tabs.get_by_role("link", name="Retention")).to_have_attribute("aria-current", "page")
    assert not barriers(page)
    page.keyboard.press("Control+k")
    page.keyboard.press("Escape")
    expect(box).to_be_hidden()
