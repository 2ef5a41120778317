"""A time that is typed, in the zone of the browser it is typed in."""

import pytest
from playwright.sync_api import Browser, expect

from derive.models import Job
from tests.browser.conftest import Visit
from tests.faults.worker_world import World

# A world's queue goes the way "lease" as well.
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True, databases=["default", "lease"])]


def test_the_very_first_page_takes_a_time_in_the_browsers_zone(visit: Visit, chromium: Browser, world: World) -> None:
    context = chromium.new_context(base_url=visit.address, timezone_id="Asia/Tokyo")
    context.add_cookies(visit.context.cookies())  # type: ignore[arg-type]  # Playwright's own two types of a cookie
    page = context.new_page()
    page.goto("/admin/derive/job/enqueue/")
    expect(page.locator("[data-when-zone]")).to_have_text("Asia/Tokyo")
    page.get_by_label("entity_type").select_option("character")
    page.get_by_label("entity_id").fill("luke")
    page.get_by_label("Text", exact=True).fill("Luke grew up on Tatooine.")
    page.get_by_label("Not before").fill("2099-07-01T12:00")
    expect(page.locator("[data-when-utc]")).to_have_text("2099-07-01 03:00 UTC")
    page.get_by_role("button", name="Enqueue").last.click()
    page.wait_for_url("**/change/")
    assert f"{Job.objects.get().available_utc:%H:%M}" == "03:00"
    context.close()
