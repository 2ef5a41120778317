"""The look at what keeps somebody out finds it, wherever text that looks alike was measured before."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.barriers import THEMES, barriers

pytestmark = pytest.mark.browser

PAGE = """<!doctype html><html lang="en"><title>t</title><style>
  body { background: #fff; color: #000 } .dark body { background: #000; color: #fff }
  aside { display: none } @media (max-width: 500px) { aside { display: block } }
</style><main><p>readable</p>%s</main>"""


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    yield page
    page.close()


@pytest.mark.parametrize(
    ("part", "width", "theme"),
    [
        ('<p style="color: #ddd">hard to read</p>', 1280, "light"),
        ('<p style="color: #222">hard to read</p>', 1280, "dark"),
        ('<p style="opacity: .2">hard to read</p>', 1280, "light"),
        ('<div style="background: #222"><p>hard to read</p></div>', 1280, "light"),
        ('<aside style="color: #ddc">hard to read</aside>', 390, "light"),
        ('<input aria-label="x" value="x" style="color: #eee; background: #fff">', 1280, "light"),
    ],
)
def test_text_that_cannot_be_read_is_found_once(page: Page, part: str, width: int, theme: str) -> None:
    page.set_content(PAGE % "")
    assert barriers(page, themes=THEMES) == []
    page.set_content(PAGE % part)
    found = barriers(page, themes=THEMES)
    if width != 1280:
        assert found == []
        page.set_viewport_size({"width": width, "height": 900})
        found = barriers(page, themes=THEMES)
    assert any(one.startswith("color-contrast") and f" {theme}:" in one for one in found), found
    assert barriers(page, themes=THEMES) == []


def test_a_field_without_a_name_is_found_each_time(page: Page) -> None:
    page.set_content(PAGE % "<input>")
    for _ in range(2):
        (found,) = barriers(page)
        assert found.startswith("label: ")
