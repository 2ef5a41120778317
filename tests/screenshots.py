"""``python -m tests.screenshots``: the pictures of the README, taken in a world of its own (``var/screenshots``).

The history behind the dashboard is made by SQL; the job and the preview are real: queued by the command, answered by
the demo's stand-in, shown by the served admin.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from derive.demo.stand_in import StandIn
from derive.demo.stand_in_model import NAME
from derive.demo.world import free_port
from tests.bench.world import ROOT, manage
from tests.browser.chromium import launch

PICTURES = ROOT / "docs" / "images"
SIZE = {"width": 1280, "height": 960}
JOBS = 60_000
START_SECONDS = 120
USER, PASSWORD = "ada", "for-these-pictures-only"
SAMPLE = "battle-of-arrel"
EVIDENCE = (
    "Tala Venn was born on Corvessa and flew courier ships for nine years before she took command of the frigate "
    "Patient Lantern. She speaks four languages and owns a droid called Umber. Her office answers at "
    "tala.venn@lantern.example."
)

# What people would see: names instead of the benchmark's numbers.
NAMED = (
    """
    UPDATE llm.job SET
        interrogation_key = (ARRAY['sw_entity_facts_v1', 'ship_registry_v2', 'trade_routes_v1'])[1 + job_seq % 3],
        entity_id = (ARRAY['tala-venn', 'patient-lantern', 'corvessa', 'umber', 'survey-guild'])[1 + job_seq % 5],
        created_by = (ARRAY['ada', 'mira', 'schedule:nightly'])[1 + job_seq % 3]
    """,
    "UPDATE llm.run SET model_name = (ARRAY['llama3.2:latest', 'qwen3:8b', 'gemma3:4b'])[1 + run_seq % 3]",
)


def main() -> int:
    os.environ.update({"DJANGO_SETTINGS_MODULE": "holocron.settings", "HOLOCRON_VAR": "var/screenshots"})
    for name in ("DATABASE_URL", "LAKE_URL"):
        os.environ.pop(name, None)
    # Playwright's sync API runs an event loop in this thread, in which Django would refuse to touch the database.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with StandIn() as stand_in, ExitStack() as programs:
        os.environ.update({"OLLAMA_BASE_URL": stand_in.base_url, "OLLAMA_MODEL": NAME})
        manage("migrate", environment={})
        import django

        django.setup()
        make_history()
        job_id = answer_one()
        programs.enter_context(running("qcluster"))
        port = free_port()
        programs.enter_context(running("runserver", f"127.0.0.1:{port}", "--noreload"))
        take_all(f"http://127.0.0.1:{port}", job_id)
    return 0


def make_history() -> None:
    """Eight days of a queue, counted by the hour; and somebody who may look at it."""
    from django.contrib.auth.models import User
    from django.db import connection

    from derive.queue import JobQueue
    from tests.bench import history

    history.fill(JOBS)
    with connection.cursor() as cursor:
        for statement in NAMED:
            cursor.execute(statement)
    JobQueue().roll_up_hours()
    User.objects.filter(username=USER).delete()
    User.objects.create_superuser(USER, password=PASSWORD)


def answer_one() -> str:
    """Queue one of the demo's samples before all others, let a worker answer it, and return its id."""
    from derive.demo.samples import load_samples
    from derive.queue import JobQueue

    sample = next(one for one in load_samples() if one.sample_id == SAMPLE)
    answer = JobQueue().enqueue(sample.job.model_copy(update={"priority": 1_000}), actor=USER)
    manage("run_llm_worker", "--once", environment={})
    return str(answer.job_id)


@contextmanager
def running(*arguments: str) -> Iterator[None]:
    """A command of manage.py beside the pictures."""
    process = subprocess.Popen(
        [sys.executable, "manage.py", *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def take_all(address: str, job_id: str) -> None:
    """Log in and take each picture."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright, launch(playwright) as browser:
        context = browser.new_context(viewport=SIZE, base_url=address, timezone_id="UTC")  # type: ignore[arg-type]
        page = context.new_page()
        log_in(page)
        take_preview(page)
        take_job(page, job_id)
        take_dashboard(page)


def log_in(page: Page) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            page.goto("/admin/login/")
            break
        except Exception:
            # It is starting.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
    page.fill("input[name=username]", USER)
    page.fill("input[name=password]", PASSWORD)
    page.press("input[name=password]", "Enter")
    page.wait_for_url("**/admin/")


def take_preview(page: Page) -> None:
    page.goto("/admin/derive/job/enqueue/")
    page.get_by_label("entity_type").select_option("character")
    page.get_by_label("entity_id").fill("tala-venn")
    page.get_by_label("Id (optional)").fill("service-record")
    page.get_by_label("Text", exact=True).fill(EVIDENCE)
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("region", name="Preview")).to_be_visible()
    take(page, "enqueue-preview")


def take_job(page: Page, job_id: str) -> None:
    page.goto(f"/admin/derive/job/{job_id}/change/")
    page.locator("a.fact-body").nth(1).click()
    expect(page.locator("mark.is-chosen").first).to_be_visible()
    take(page, "job")


def take_dashboard(page: Page) -> None:
    page.goto("/admin/")
    # The scheduler has been heard of.
    expect(page.locator(".is-failing")).to_have_count(0, timeout=START_SECONDS * 1000)
    take(page, "dashboard")


def take(page: Page, name: str) -> None:
    page.mouse.move(0, 0)
    path = Path(PICTURES / f"{name}.png")
    page.screenshot(path=path, animations="disabled")
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
