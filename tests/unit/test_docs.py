"""The pages of the documentation agree with the code, and their links lead somewhere."""

import os
import re
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from derive.errors import ErrorKind
from holocron.environment import VARIABLES
from holocron.settings import BASE_DIR

PAGES = sorted([*BASE_DIR.glob("*.md"), *BASE_DIR.glob("docs/**/*.md"), *BASE_DIR.glob("deploy/**/*.md")])
REFERENCE = "docs/reference.md"
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_CODE = re.compile(r"^(`{3,}).*?^\1 *$", re.DOTALL | re.MULTILINE)


@cache
def text_of(path: str | Path) -> str:
    return (BASE_DIR / path).read_text("utf-8")


def settings_table() -> str:
    rows = ["| variable | default | |", "|---|---|---|"]
    for variable in VARIABLES:
        default = f"`{variable.default}`" if variable.default else ""
        rows.append(f"| `{variable.name}` | {default} | {variable.meaning} |")
    return "\n".join(rows)


def layers_list() -> str:
    project = tomllib.loads(text_of("pyproject.toml"))
    (contract,) = [one for one in project["tool"]["importlinter"]["contracts"] if one["id"] == "layers"]
    return "```\n" + "\n".join(layer.replace(" : ", "  ") for layer in contract["layers"]) + "\n```"


@pytest.mark.parametrize(
    ("page", "marker", "written"),
    [("docs/settings.md", "settings", settings_table), ("docs/design.md", "layers", layers_list)],
)
def test_generated_parts_match_the_code(page: str, marker: str, written: Callable[[], str]) -> None:
    found = re.search(rf"<!-- {marker} -->\n(.*)<!-- /{marker} -->", text_of(page), re.DOTALL)
    assert found is not None
    if os.environ.get("WRITE_REFERENCE"):
        text = text_of(page)
        (BASE_DIR / page).write_text(f"{text[: found.start(1)]}{written()}\n{text[found.end(1) :]}", "utf-8")
        text_of.cache_clear()
    assert text_of(page)[found.start(1) :].startswith(f"{written()}\n<!-- /"), f"{page} is stale: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(BASE_DIR)))
def test_every_link_within_the_project_leads_to_a_page_and_a_heading(page: Path) -> None:
    for target in _LINK.findall(_CODE.sub("", text_of(page))):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors_of(file), target


@cache
def anchors_of(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _CODE.sub("", text_of(page)), re.MULTILINE)
    return frozenset(re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings)


def test_every_error_kind_has_a_cause_and_a_fix() -> None:
    page = text_of("docs/troubleshooting.md")
    for kind in ErrorKind:
        assert re.search(rf"^\| `{kind}` \| [^|]+ \| [^|]+ \|$", page, re.MULTILINE), kind


def test_pages_name_only_commands_metrics_and_procedures_that_exist() -> None:
    known = text_of(REFERENCE)
    # Django's own commands, which Holocron does not list.
    known += "".join(f"\n### `manage.py {name}`" for name in ("check", "createsuperuser", "dbshell", "help", "migrate"))
    known += "\n### `manage.py shell`"
    known += "\n### `manage.py qcluster`\n### `manage.py makemigrations`\n### `manage.py changepassword`"
    for page in PAGES:
        text = text_of(page)
        for command in re.findall(r"manage\.py ([a-z][a-z_]+)", text):
            assert f"### `manage.py {command}`" in known, (page.name, command)
        for name in re.findall(r"`(holocron_[a-z_]+)`", text):
            assert name in known or name in {"holocron_site"}, (page.name, name)
        for name in re.findall(r"\b(usp_[a-z_]+[a-z])\b", text):
            assert name in known, (page.name, name)


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    todo = [BASE_DIR / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        links = [target.partition("#")[0] for target in _LINK.findall(text_of(page)) if "://" not in target]
        todo += [(page.parent / target).resolve() for target in links if target]
    of_the_site = {page for page in PAGES if page.is_relative_to(BASE_DIR / "docs")} - {BASE_DIR / "docs/index.md"}
    assert of_the_site <= seen


def test_every_direct_dependency_is_pinned_with_hashes() -> None:
    block = text_of("pyproject.toml").partition("dependencies = [")[2].partition("\n]")[0]
    names = re.findall(r'^ *"([a-z0-9-]+)', block, re.MULTILINE)
    assert "django" in names
    for name in names:
        assert re.search(rf"^{name}==\S+.*\\\n    --hash=sha256:", text_of("requirements.txt"), re.MULTILINE), name


def test_the_requirements_name_no_index() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        assert not re.search(r"^ *(-i|--index|--extra-index|--find-links)|://", text_of(name), re.MULTILINE)


def test_the_changelog_begins_with_what_is_not_released_and_names_this_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", text_of("CHANGELOG.md"), re.MULTILINE)
    assert headings[0] == "Unreleased"
    assert headings[1] == tomllib.loads(text_of("pyproject.toml"))["project"]["version"]
