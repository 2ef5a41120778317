"""Pages in a real Chromium. Without one the tests skip and say so; with REQUIRE_BROWSER=1 that is a failure."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from pytest_django.fixtures import Settings
from pytest_django.live_server_helper import LiveServer

from derive.admin.dashboard import page as dashboard_page
from derive.admin.dashboard import statistics
from derive.admin.dashboard.health_checks import HealthChecks
from derive.admin.dashboard.statistics import SharedStatistics
from derive.health import ReadinessCheck
from derive.model_servers.settings import ModelSettings
from tests.browser.chromium import launch
from tests.contract.conftest import every_history_holds_together
from tests.faults.worker_world import World, a_hurried_world

PASSWORD = "a-password-for-one-test"
# What the policy forbids is told to the console as well, but not by every version of every browser.
TELL_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) =>
  console.error(`forbidden by the policy: ${event.violatedDirective} ${event.blockedURI}`));
"""


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """A headless Chromium: the system's, or else the one that Playwright installed.

    It ends with these tests: while it lives an event loop runs in this thread, beside which no other can.
    """
    with sync_playwright() as playwright, pytest.MonkeyPatch.context() as patch:
        # Playwright's loop runs in this thread, in which Django would refuse to touch the database.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        try:
            browser = launch(playwright)
        except Exception as error:
            if os.environ.get("REQUIRE_BROWSER") == "1":
                raise
            pytest.skip(
                f"no Chromium to show pages in ({type(error).__name__}): install one to run the browser's tests"
            )
        yield browser
        browser.close()


@dataclass
class Visit:
    """A tab of somebody who is logged in, and what the browser complained of."""

    page: Page
    context: BrowserContext
    address: str
    complaints: list[str] = field(default_factory=list)


@pytest.fixture
def visit(chromium: Browser, live_server: LiveServer, empty_queue: None, settings: Settings) -> Iterator[Any]:
    """Open pages as a superuser; at the end the browser must have had nothing to complain of."""
    # Half a second each time, by design, with the real one.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    client = Client()
    client.force_login(
        User.objects.create_superuser("operator", password=PASSWORD), "django.contrib.auth.backends.ModelBackend"
    )
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, base_url=live_server.url)
    context.add_init_script(TELL_VIOLATIONS)
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": live_server.url}])
    page = context.new_page()
    page.set_default_timeout(20_000)
    tab = Visit(page, context, live_server.url)
    page.on("console", lambda said: tab.complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    yield tab
    context.close()
    assert not tab.complaints


@pytest.fixture(autouse=True)
def fresh_dashboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers read at each look, asked for again at once; health that is not well."""
    checks = HealthChecks(
        checks=(lambda: (ReadinessCheck("database", ok=True), ReadinessCheck("ollama", ok=False, reason="it is away")),)
    )
    checks._look()
    monkeypatch.setattr(
        dashboard_page, "STATISTICS", {span: SharedStatistics(days) for span, days in dashboard_page.SPANS.items()}
    )
    monkeypatch.setattr(dashboard_page, "HEALTH_CHECKS", checks)
    monkeypatch.setattr(dashboard_page, "REFRESH_SECONDS", 0.1)
    monkeypatch.setattr(statistics, "KEPT_SECONDS", 0.0)


@pytest.fixture
def world(empty_queue: None, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """What a real worker stands on; the pages know its lake and its model server."""
    with a_hurried_world(tmp_path / "lake", monkeypatch) as world:
        settings.LAKE_URL = str(world.lake_root)
        settings.OLLAMA = ModelSettings(base_url=world.fake.url)
        yield world
    every_history_holds_together()
