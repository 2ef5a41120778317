"""An operator's day in a real Chromium: the real pages, queue, worker, lake, and a model server that takes its time."""

import pytest
from playwright.sync_api import Page, expect

from derive.models import JobEvent
from tests.browser.barriers import barriers
from tests.browser.conftest import PASSWORD, Visit
from tests.fake_ollama import Gate, behaviours
from tests.faults.worker_world import GOOD_ANSWER, PASSAGE, QUOTE, World, wait_until

# A worker's heartbeats go the way "lease".
pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True, databases=["default", "lease"])]

REASON = "the model server is well again"
LOST = 3


def look(page: Page) -> None:
    """What everybody must be able to use is looked at wherever the operator comes."""
    assert not barriers(page), page.url


def follow(page: Page, name: str) -> None:
    """Take a link of the sidebar."""
    page.locator("#nav-sidebar-apps").get_by_role("link", name=name, exact=True).click()


def open_view(page: Page, name: str) -> None:
    """Open a view of the list."""
    page.get_by_role("navigation", name="Views").get_by_role("link", name=name, exact=True).click()


def expect_count(page: Page, tile: str, jobs: int) -> None:
    expect(page.locator(f"#hc-tile-{tile} .hc-tile-jobs")).to_have_text(str(jobs))


def test_an_operators_day(visit: Visit, world: World) -> None:
    page = visit.page
    log_in(visit)
    look(page)
    lose_some(world)
    held_back = Gate()
    world.fake.next(behaviours.answer(GOOD_ANSWER, gate=held_back))
    enqueue_with_a_preview(page)
    with world.working():
        watch_it_finish(page, held_back)
        open_the_fact(page)
        cancel_a_running_one(page, world)
        requeue_what_was_lost(page, world)
    find_the_reason(page)
    go_home(visit)


def log_in(visit: Visit) -> None:
    page = visit.page
    visit.context.clear_cookies()
    page.goto("/admin/login/")
    page.get_by_label("Username").fill("operator")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Password").press("Enter")
    page.wait_for_url("**/admin/")


def lose_some(world: World) -> None:
    """The night before: a model server that crashed, and jobs with no attempt left."""
    lost = [world.enqueue(max_attempts=1) for _ in range(LOST)]
    for _ in lost:
        world.fake.next(behaviours.crashed())
    world.work(runs=LOST)


def enqueue_with_a_preview(page: Page) -> None:
    follow(page, "Enqueue")
    look(page)
    page.get_by_label("entity_type").select_option("character")
    page.get_by_label("entity_id").fill("tala-venn")
    page.get_by_label("Id (optional)").fill("e1")
    page.get_by_label("Text", exact=True).fill(PASSAGE)
    page.get_by_role("button", name="Preview").click()
    preview = page.get_by_role("region", name="Preview")
    expect(preview.locator("pre").first).to_have_text(PASSAGE)
    expect(preview.locator("pre").last).to_contain_text(PASSAGE)
    look(page)
    preview.get_by_role("button", name="Enqueue").click()
    expect(page.locator(".hc-state").first).to_have_text("Ready")


def watch_it_finish(page: Page, held_back: Gate) -> None:
    follow(page, "Overview")
    expect_count(page, "running", 1)
    look(page)
    held_back.open()
    expect_count(page, "succeeded", 1)
    expect_count(page, "running", 0)


def open_the_fact(page: Page) -> None:
    follow(page, "All jobs")
    page.get_by_label("State").select_option("SUCCEEDED")
    page.get_by_role("button", name="Filter", exact=True).click()
    look(page)
    page.locator("td[data-label=Job] a").click()
    page.locator("a.fact-body").click()
    chosen = page.locator("mark.is-chosen")
    expect(chosen).to_have_text(QUOTE)
    expect(page.locator("article", has=chosen).locator("h3")).to_contain_text("e1")
    look(page)


def cancel_a_running_one(page: Page, world: World) -> None:
    world.fake.next(behaviours.falls_silent())
    job_id = world.enqueue()
    world.wait_for(job_id, "RUNNING")
    follow(page, "All jobs")
    open_view(page, "Running")
    page.locator("td[data-label=Job] a").click()
    page.get_by_role("button", name="Cancel …").click()
    look(page)
    confirm(page, "Cancel", "it takes too long")
    world.wait_for(job_id, "CANCELLED")


def requeue_what_was_lost(page: Page, world: World) -> None:
    follow(page, "All jobs")
    open_view(page, "Gave up")
    look(page)
    page.locator("#hc-act select[name=scope]").select_option("matching")
    page.locator("#hc-act select[name=action]").select_option("requeue")
    page.get_by_role("button", name="Continue …").click()
    expect(page.get_by_role("heading", name=f"Requeue: {LOST} jobs")).to_be_visible()
    look(page)
    confirm(page, "Requeue", REASON)
    expect(page.locator("[data-act-report]")).to_contain_text(f"{LOST} changed.")
    look(page)
    ids = JobEvent.objects.filter(event="requeued").values_list("job_id", flat=True)
    wait_until(lambda: {world.job(one).status for one in ids} == {"SUCCEEDED"}, "what was requeued succeeds")


def confirm(page: Page, action: str, reason: str) -> None:
    page.get_by_label("Reason").fill(reason)
    page.get_by_role("button", name=action, exact=True).click()
    page.wait_for_selector("[data-act-report][data-done]")


def find_the_reason(page: Page) -> None:
    follow(page, "Audit")
    page.locator("select[name=event]").select_option("requeued")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.locator("td[data-label=Reason]")).to_have_text([REASON] * LOST)
    expect(page.locator("td[data-label=Actor]")).to_have_text(["operator"] * LOST)
    look(page)


def go_home(visit: Visit) -> None:
    visit.context.clear_cookies()
    visit.page.reload()
    expect(visit.page.get_by_label("Password")).to_be_visible()
    look(visit.page)
