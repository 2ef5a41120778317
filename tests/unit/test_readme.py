"""The README's tables agree with the code."""

import re

from holocron.environment import VARIABLES
from holocron.settings import BASE_DIR


def settings_table() -> str:
    rows = ["| variable | default | |", "|---|---|---|"]
    for variable in VARIABLES:
        default = f"`{variable.default}`" if variable.default else ""
        rows.append(f"| `{variable.name}` | {default} | {variable.meaning} |")
    return "\n".join(rows)


def test_the_readme_shows_every_setting() -> None:
    found = re.search(
        r"<!-- settings -->\n(.*)\n<!-- /settings -->", (BASE_DIR / "README.md").read_text("utf-8"), re.DOTALL
    )
    assert found is not None
    assert found[1] == settings_table()


def test_every_direct_dependency_is_pinned_with_hashes() -> None:
    declared = (BASE_DIR / "pyproject.toml").read_text("utf-8")
    block = declared.partition("dependencies = [")[2].partition("\n]")[0]
    names = re.findall(r'^ *"([a-z0-9-]+)', block, re.MULTILINE)
    assert "django" in names
    pinned = (BASE_DIR / "requirements.txt").read_text("utf-8")
    for name in names:
        assert re.search(rf"^{name}==\S+.*\\\n    --hash=sha256:", pinned, re.MULTILINE), name


def test_the_requirements_name_no_index() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        assert not re.search(
            r"^ *(-i|--index|--extra-index|--find-links)|://", (BASE_DIR / name).read_text(), re.MULTILINE
        )
