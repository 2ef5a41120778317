"""What keeps somebody from using a page, as axe-core finds it, and as a phone shows it."""

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
COLOURS = ["color-contrast"]
"""The one rule that another theme can break."""
_SCRIPT = Axe().axe_script
_RUN = "([where, options]) => axe.run(where, options).then(found => found.violations)"

_TOO_WIDE = """[...document.querySelectorAll("body *")]
  .filter((one) => one.getBoundingClientRect().right > window.innerWidth)
  .slice(-3).map((one) => one.outerHTML.slice(0, 200))"""


_CUT_OFF_ERRORS = """[...document.querySelectorAll(".hc-scroll .hc-error")]
  .filter((one) => one.getBoundingClientRect().right > one.closest(".hc-scroll").getBoundingClientRect().right + 1)
  .slice(0, 2).map((one) => one.outerHTML.slice(0, 200))"""


def barriers(page: Page, *, rules: list[str] = RULES, without: str = "nothing") -> list[str]:
    """Return a line for each rule that the page breaks, with where it does; and whether it scrolls sideways.

    ``without`` is a selector of what was looked at before and is the same on every page.
    """
    if not page.evaluate("'axe' in window"):
        page.evaluate(_SCRIPT)
    found = page.evaluate(
        _RUN, [{"exclude": [without]}, {"runOnly": rules, "resultTypes": ["violations"], "preload": False}]
    )
    told = [f"{one['id']}: {one['help']}: {[node['html'][:200] for node in one['nodes'][:4]]}" for one in found]
    return [*told, *cut_off(page)]


def cut_off(page: Page) -> list[str]:
    """Return a line if the page scrolls sideways, and one if the errors in a list cannot be read without scrolling."""
    told = []
    if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
        told.append(f"the page scrolls sideways: {page.evaluate(_TOO_WIDE)}")
    if errors := page.evaluate(_CUT_OFF_ERRORS):
        told.append(f"errors are cut off: {errors}")
    return told
