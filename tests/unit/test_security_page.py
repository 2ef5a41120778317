"""The security page promises nothing that no test holds."""

import re

from holocron.settings import BASE_DIR


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (BASE_DIR / "docs" / "security.md").read_text("utf-8")))
    assert len(named) > 40
    sources = "\n".join(path.read_text("utf-8") for path in (BASE_DIR / "tests").rglob("test_*.py"))
    assert sorted(named - set(re.findall(r"def (test_\w+)\(", sources))) == []
