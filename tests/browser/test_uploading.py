"""A file of jobs on its way into the queue, before one's eyes."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page
from pytest_django.fixtures import Settings

from derive.admin.jobs import long_action
from derive.admin.jobs.upload import views as upload_views
from derive.errors import DatabaseUnavailable
from derive.intake import upload as kept_upload
from derive.intake import upload_state
from derive.models import Job
from tests.browser.barriers import barriers
from tests.browser.conftest import Visit
from tests.contract.scenes import KEY

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def small_steps(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.UPLOADS_FOLDER = tmp_path / "uploads"
    monkeypatch.setattr(long_action, "STEP_SECONDS", 0.02)
    monkeypatch.setattr("derive.intake.spool.BATCH_JOBS", 40)


# While a form is on its way Playwright looks at nothing: click and look at once.
CLICK_AND_LOOK = """() => {
  const form = document.querySelector("form[data-queue]");
  const [button, busy] = [form.querySelector("button"), form.querySelector("[data-busy]")];
  button.click();
  return [button.disabled, busy.checkVisibility()];
}"""


def look(page: Page) -> None:
    """See that nothing keeps anybody out, on a phone or on a screen."""
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        assert not barriers(page)


def jobs(count: int) -> list[str]:
    planets = [{"entity_type": "planet", "entity_id": f"p{number}"} for number in range(count)]
    return [json.dumps({"interrogation_key": KEY, "input": one, **one}) for one in planets]


def test_a_file_goes_in_by_steps_and_the_bad_lines_are_left_out_by_choice(visit: Visit, tmp_path: Path) -> None:
    page, file = visit.page, tmp_path / "planets.jsonl"
    lines = jobs(300)
    lines[7] = "{nonsense"
    file.write_text("\n".join(lines), "utf-8")
    page.goto("/admin/derive/job/upload/")
    look(page)
    page.set_input_files("input[name=file]", file)
    page.click("text=Upload and check")
    page.wait_for_selector("text=299 valid jobs, 1 invalid line")
    look(page)
    page.fill("textarea[name=reason]", "all the planets")
    page.check("input[name=skip_invalid]")
    page.click("text=Queue the 299 valid ones")
    page.wait_for_selector("text=299 jobs queued; 1 invalid line left out.")
    assert Job.objects.count() == 299


def test_queueing_is_one_answer_during_which_the_page_is_busy_and_after_a_fault_nothing_is_queued(
    visit: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, file = visit.page, tmp_path / "planets.jsonl"
    file.write_text("\n".join(jobs(100)), "utf-8")
    page.goto("/admin/derive/job/upload/")
    page.set_input_files("input[name=file]", file)
    page.click("text=Upload and check")
    page.fill("textarea[name=reason]", "all the planets")
    with monkeypatch.context() as patch:
        real = kept_upload.Upload._keep

        def fail(*arguments: Any) -> None:
            real(*arguments)
            raise DatabaseUnavailable("the database is away")

        patch.setattr(kept_upload.Upload, "_keep", fail)
        assert page.evaluate(CLICK_AND_LOOK) == [True, True]
        page.wait_for_selector("text=Nothing was queued")
    look(page)
    assert page.input_value("textarea[name=reason]") == "all the planets"
    assert not Job.objects.exists()
    page.click("text=Queue all 100")
    page.wait_for_selector("text=100 jobs queued.")
    assert Job.objects.count() == 100
    # The browser tells of the answer 503 itself.
    assert ["503" in complaint for complaint in visit.complaints] == [True]
    visit.complaints.clear()


def test_a_file_of_too_many_jobs_is_told_what_to_do(
    visit: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_state, "MAX_JOBS", 120)
    page, file = visit.page, tmp_path / "planets.jsonl"
    file.write_text("\n".join(jobs(300)), "utf-8")
    page.goto("/admin/derive/job/upload/")
    page.set_input_files("input[name=file]", file)
    page.click("text=Upload and check")
    page.wait_for_selector("text=holds more than 120 jobs")
    page.wait_for_selector("text=ended before line 122")
    look(page)


def test_a_file_that_is_too_large_is_reported_before_it_is_sent(
    visit: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload_views, "MAX_UPLOAD_BYTES", 10)
    page, file = visit.page, tmp_path / "planets.jsonl"
    file.write_text("\n".join(jobs(3)), "utf-8")
    page.goto("/admin/derive/job/upload/")
    page.set_input_files("input[name=file]", file)
    page.wait_for_selector("text=the limit is")
    assert page.is_disabled("text=Upload and check")
