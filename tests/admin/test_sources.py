"""The pages of sources: what they show to whom."""

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from tests.admin.conftest import Browse

LIST = "admin:derive_source_changelist"
PREVIEW = "admin:derive_source_payloads"
CONTENT = """
[[source]]
name = "letters"
kind = "files"
entity_type = "letter"
folder = "letters"

[[source.rule]]
name = "drafts"
glob = "draft*"
skip = "drafts change"

[[source]]
name = "wrong"
kind = "files"
"""
HOSTILE = "<script>alert(1)</script> of ada@example.com \u202e"


@pytest.fixture
def letters(tmp_path: Path, settings: Settings) -> Path:
    """A source of letters, and one that is declared wrongly."""
    settings.SOURCES_FILE = tmp_path / "sources.toml"
    settings.SOURCES_FILE.write_text(CONTENT, "utf-8")
    folder = tmp_path / "letters"
    folder.mkdir()
    (folder / "hostile.txt").write_text(HOSTILE)
    (folder / "draft.txt").write_text("draft")
    (folder / "empty.txt").write_text("")
    (folder / "page.html").write_text("<p>On a page</p><script>no</script>")
    return folder


def page(client: Client, address: str, **query: str) -> str:
    answer = client.get(reverse(address), query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_list_says_which_source_is_broken_and_why(letters: Path, browse: Browse) -> None:
    shown = page(browse("operator"), LIST)
    assert "letters</bdi></a>" in shown
    assert "source &#x27;wrong&#x27;: " in shown


def test_a_viewer_sees_the_list_but_no_texts(letters: Path, browse: Browse) -> None:
    viewer = browse("viewer")
    assert reverse(PREVIEW) not in page(viewer, LIST)
    assert viewer.get(reverse(PREVIEW), {"name": "letters"}).status_code == 403


def test_the_preview_shows_the_evidence_as_a_model_will_see_it(letters: Path, browse: Browse) -> None:
    shown = page(browse("operator"), PREVIEW, name="letters")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "<script>alert(1)" not in shown
    assert "ada@example.com" not in shown
    assert "\u202e" not in shown
    assert "On a page" in shown
    assert "selectolax" in shown
    assert "drafts change" in shown
    assert "it has no text" in shown
    assert "All 2 readable subjects" in shown


@pytest.mark.parametrize("name", ["wrong", "unknown", "", "\x00", "<b>"])
def test_a_source_that_cannot_be_previewed_says_why(letters: Path, browse: Browse, name: str) -> None:
    assert 'role="alert"' in page(browse("operator"), PREVIEW, name=name)


def test_a_file_that_cannot_be_read_is_said_and_without_one_the_page_says_what_to_do(
    letters: Path, browse: Browse, settings: Settings
) -> None:
    settings.SOURCES_FILE.write_text("[[source")
    assert "is not TOML" in page(browse("operator"), LIST)
    settings.SOURCES_FILE = None
    assert "No sources yet" in page(browse("operator"), LIST)


def test_the_preview_is_cut_to_the_bounds_of_an_interrogation(letters: Path, browse: Browse) -> None:
    (letters / "long.txt").write_text("word " * 5_000)
    shown = page(browse("operator"), PREVIEW, name="letters", interrogation="sw_entity_facts_v1")
    assert "item_too_long" in shown
    assert '<option value="sw_entity_facts_v1" selected>' in shown
    assert "there is no interrogation" in page(browse("operator"), PREVIEW, name="letters", interrogation="<b>")
