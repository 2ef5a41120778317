"""The dashboard before one's eyes: it refreshes without flicker, can be paused, and is read by keyboard."""

import pytest

from derive.contracts import RunFacts
from derive.errors import ErrorKind
from derive.queue import JobQueue
from tests.browser.conftest import Visit
from tests.contract.scenes import claimed, failure, queued, success

pytestmark = pytest.mark.browser

ANSWERED = RunFacts(
    model_name="llama3.2", prompt_tokens=900, output_tokens=120, metrics_json='{"total_duration":2000000000}'
)


def a_day(queue: JobQueue) -> None:
    queue.complete(success(claimed(queue), run=ANSWERED))
    queue.complete(failure(claimed(queue), error_kind=ErrorKind.INVALID_INPUT))
    queued(queue, entity_id="leia")
    queue.heartbeat("worker-1", [])
    queue.roll_up_hours()


def test_new_numbers_come_in_and_what_stays_is_not_touched(visit: Visit) -> None:
    queue, page = JobQueue(), visit.page
    a_day(queue)
    page.goto("/admin/")
    page.wait_for_selector("#hc-tile-new >> text=1")
    page.evaluate("document.querySelector('[data-part=speeds]').dataset.touched = 'no'")
    page.focus("#hc-tile-new")
    for _ in range(2):
        queued(queue)
    page.wait_for_selector("#hc-tile-new .hc-tile-jobs >> text=3")
    assert page.get_attribute("[data-part=speeds]", "data-touched") == "no"
    assert page.evaluate("document.activeElement.id") == "hc-tile-new"


def test_a_paused_page_asks_nothing_and_goes_on_when_told(visit: Visit) -> None:
    queue, page = JobQueue(), visit.page
    a_day(queue)
    page.goto("/admin/")
    with page.expect_response("**/admin/dashboard/**"):
        pass
    page.click("#hc-pause")
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    queued(queue)
    page.wait_for_selector("#hc-status >> text=Paused")
    page.evaluate("new Promise(done => setTimeout(done, 400))")
    assert not asked
    page.reload()
    page.wait_for_selector("#hc-status >> text=Paused")
    with page.expect_response("**/admin/dashboard/**"):
        page.click("#hc-pause")
    page.wait_for_selector("#hc-status >> text=Refreshes every")


def test_a_session_that_ended_is_reported_and_not_mistaken_for_numbers(visit: Visit) -> None:
    page = visit.page
    a_day(JobQueue())
    page.goto("/admin/")
    visit.context.clear_cookies()
    page.wait_for_selector("#hc-status >> text=logged out")
    assert page.locator("[data-part=tiles]").count() == 1


def test_charts_are_read_by_keyboard_and_as_tables(visit: Visit) -> None:
    page = visit.page
    a_day(JobQueue())
    page.goto("/admin/")
    page.focus("[data-chart=outcomes]")
    page.keyboard.press("End")
    page.wait_for_selector("#hc-tip:visible")
    assert "succeeded: 1, failed: 1" in page.inner_text("#hc-tip-text")
    page.keyboard.press("Escape")
    page.wait_for_selector("#hc-tip", state="hidden")
    page.click("#hc-table-outcomes summary")
    page.wait_for_selector("#hc-table-outcomes tr >> text=succeeded: 1")
