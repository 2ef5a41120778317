"""The job pages move while jobs do, keep what a person does on them, and ask nothing when nobody looks."""

import pytest
from django.conf import settings
from playwright.sync_api import Page, expect

from derive.admin.jobs import live
from derive.contracts import RunFacts
from derive.lake import Lake
from derive.queue import JobQueue
from tests.admin.facts_scene import three_facts
from tests.browser.barriers import barriers
from tests.browser.conftest import Visit
from tests.contract.scenes import claim_one, queued, success

pytestmark = pytest.mark.browser

LIST = "/admin/derive/job/"


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "REFRESH_SECONDS", 0.1)


def states(page: Page) -> list[str]:
    return page.locator("td[data-label=State]").all_inner_texts()


def test_a_jobs_page_follows_it_from_the_queue_to_its_answer(visit: Visit) -> None:
    queue, page = JobQueue(), visit.page
    first, job = queued(queue), queued(queue, entity_id="tala-venn")
    page.goto(f"{LIST}{job.job_id}/change/")
    state = page.locator(".hc-state").first
    expect(state).to_have_text("Ready")
    expect(page.get_by_text("1 job ahead in the queue")).to_be_visible()
    assert claim_one(queue).job_id == first.job_id
    expect(page.get_by_text("Next in the queue")).to_be_visible()
    claim = claim_one(queue)
    expect(state).to_have_text("Running")
    with Lake.open(settings.LAKE_URL).spool(
        Lake.run_folder(claim.started_utc, claim.run_id), "response.ndjson"
    ) as spool:
        for n in range(80):
            spool.write(b'{"message": {"role": "assistant", "content": "line %d\\n"}, "done": false}\n' % n)
        text = page.locator("[data-follow]")
        expect(text).to_contain_text("line 79")
        spool.write(b'{"message": {"role": "assistant", "content": "the newest line"}, "done": false}\n')
        expect(text).to_contain_text("the newest line")
        # The page stays at the end of what is written.
        end = "e => e.scrollHeight > e.clientHeight && e.scrollTop + e.clientHeight > e.scrollHeight - 5"
        assert text.evaluate(end)
        assert not barriers(page)
    queue.complete(success(claim, run=RunFacts(model_name="tiny", output_json='{"facts": []}'), facts=three_facts()))
    expect(state).to_have_text("Succeeded")
    expect(page.locator(".holocron-timeline")).to_contain_text("succeeded")
    # What came with the end of the job is there too, and nothing is asked any more.
    expect(page.locator("#facts")).to_contain_text("3 facts")
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("new Promise(done => setTimeout(done, 500))")
    assert not asked
    assert not barriers(page)


def test_the_list_brings_new_jobs_and_keeps_the_focus(visit: Visit) -> None:
    queue, page = JobQueue(), visit.page
    queued(queue, entity_id="tala-venn")
    page.goto(LIST)
    page.keyboard.press("j")
    queued(queue, entity_id="umber")
    expect(page.locator("tbody tr")).to_have_count(2)
    assert page.evaluate("document.activeElement.innerText") == "tala-venn"
    claim_one(queue)
    expect(page.locator("td[data-label=State]").last).to_have_text("Running")
    assert states(page) == ["Ready", "Running"]


def test_nothing_moves_while_jobs_are_selected(visit: Visit) -> None:
    queue, page = JobQueue(), visit.page
    queued(queue)
    page.goto(LIST)
    with page.expect_response("**/live/**"):
        pass
    box = page.locator("tbody input[type=checkbox]").first
    box.check()
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    queued(queue)
    page.evaluate("new Promise(done => setTimeout(done, 500))")
    assert not asked
    expect(page.locator("[data-chosen]")).to_have_text("1")
    box.uncheck()
    expect(page.locator("tbody tr")).to_have_count(2)


def test_a_page_that_nobody_looks_at_asks_nothing(visit: Visit) -> None:
    queue, page = JobQueue(), visit.page
    queued(queue)
    page.goto(LIST)
    with page.expect_response("**/live/**"):
        pass
    page.evaluate(
        """() => {
            Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    page.wait_for_load_state("networkidle")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("new Promise(done => setTimeout(done, 500))")
    assert not asked
    queued(queue)
    page.evaluate(
        """() => {
            Object.defineProperty(document, "hidden", { configurable: true, get: () => false });
            document.dispatchEvent(new Event("visibilitychange"));
        }"""
    )
    expect(page.locator("tbody tr")).to_have_count(2)
