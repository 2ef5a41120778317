"""Whatever part of a page scrolls can be reached, and so read to its end, by keyboard."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STYLES = sorted(ROOT.glob("derive/static/derive/*.css"))
PAGES = sorted(
    [*ROOT.glob("templates/**/*.html"), *ROOT.glob("derive/templates/**/*.html"), *ROOT.glob("derive/**/*.py")]
)
SCROLLS = re.compile(r"\.([\w-]+)\s*\{[^}]*\boverflow(?:-[xy])?:\s*auto\b")


def scrolling_classes() -> set[str]:
    return {name for style in STYLES for name in SCROLLS.findall(style.read_text("utf-8"))}


def test_the_classes_that_scroll_are_found() -> None:
    assert {"holocron-text", "holocron-evidence", "hc-text", "hc-scroll", "hc-diff"} <= scrolling_classes()


@pytest.mark.parametrize("name", sorted(scrolling_classes()))
def test_each_element_of_a_class_that_scrolls_takes_the_focus(name: str) -> None:
    element = re.compile(rf'<\w+[^<>]*\bclass="[^"]*(?<![\w-]){name}(?![\w-])[^"]*"[^<>]*>')
    without = [
        f"{page.relative_to(ROOT)}: {tag}"
        for page in PAGES
        for tag in element.findall(page.read_text("utf-8"))
        if 'tabindex="0"' not in tag
    ]
    assert not without, "\n".join(without)
