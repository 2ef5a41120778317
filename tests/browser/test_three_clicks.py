"""The stopwatch story: from failures on the dashboard to all of them fixed, in three clicks and one reason."""

import pytest
from playwright.sync_api import Locator, expect

from derive.errors import ErrorKind
from derive.models import Job
from derive.queue import JobQueue
from tests.browser.barriers import barriers
from tests.browser.conftest import Visit
from tests.contract.scenes import claimed, failure, queued

pytestmark = pytest.mark.browser

FAILED = 8


@pytest.mark.parametrize("start", ["#hc-tile-deadletter", "#hc-fail-0d"])
def test_eight_failures_are_fixed_in_three_clicks_and_one_reason(visit: Visit, start: str) -> None:
    queue, page = JobQueue(), visit.page
    for _ in range(FAILED):
        claim = claimed(queue, max_attempts=1)
        queue.complete(failure(claim, error_kind=ErrorKind.MODEL_CRASHED, retry_after_seconds=0))
    queued(queue)
    queue.roll_up_hours()
    clicks = 0

    def click(target: Locator) -> None:
        nonlocal clicks
        target.click()
        clicks += 1

    page.goto("/admin/")
    click(page.locator(start))
    assert not barriers(page)
    click(page.get_by_role("button", name="Requeue: all that match …"))
    expect(page.get_by_role("heading", name=f"Requeue: {FAILED} jobs")).to_be_visible()
    page.get_by_label("Reason").fill("the server has more memory now")
    click(page.get_by_role("button", name="Requeue", exact=True))
    expect(page.locator("[data-act-report]")).to_contain_text(f"{FAILED} changed.")
    assert clicks == 3
    assert Job.objects.filter(status="NEW").count() == FAILED + 1
    page.get_by_role("link", name="Back to the list").click()
    expect(page.get_by_text("No job matches")).to_be_visible()
    assert "status=DEADLETTER" in page.url
