"""A file of jobs on its way into the queue, before one's eyes."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page
from pytest_django.fixtures import Settings

from derive.admin import uploading
from derive.models import Job
from tests.browser.barriers import barriers
from tests.browser.conftest import Visit
from tests.contract.scenes import KEY

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def small_steps(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.UPLOADS_FOLDER = tmp_path / "uploads"
    monkeypatch.setattr(uploading, "STEP_SECONDS", 0.02)
    monkeypatch.setattr("derive.intake.spool.BATCH_JOBS", 40)


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
    page.wait_for_selector("text=299 good jobs, 1 bad line")
    look(page)
    page.fill("textarea[name=reason]", "all the planets")
    page.check("input[name=skip_invalid]")
    page.click("text=Queue the 299 good ones")
    page.wait_for_selector("text=299 jobs queued; 1 bad line left out.")
    assert Job.objects.count() == 299


def test_a_file_that_is_too_large_is_told_before_it_is_sent(
    visit: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploading, "MAX_UPLOAD_BYTES", 10)
    page, file = visit.page, tmp_path / "planets.jsonl"
    file.write_text("\n".join(jobs(3)), "utf-8")
    page.goto("/admin/derive/job/upload/")
    page.set_input_files("input[name=file]", file)
    page.wait_for_selector("text=is the most: split it")
    assert page.is_disabled("text=Upload and check")
