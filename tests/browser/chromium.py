"""A headless Chromium: the system's, or else the one that Playwright installed."""

import shutil

from playwright.sync_api import Browser, Playwright

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


def launch(playwright: Playwright) -> Browser:
    """Start it; raises Playwright's error where there is none."""
    # In a container there is no sandbox to be had; the pages are our own. Nor is there a graphics card: to imitate one
    # takes a fifth of the processor time of these tests.
    options = ["--no-sandbox", "--disable-gpu", "--disable-software-rasterizer"]
    return playwright.chromium.launch(executable_path=CHROMIUM, args=options)
