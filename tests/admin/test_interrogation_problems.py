"""What is wrong with an interrogation's files is said where its author and its operators look."""

import json
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.urls import reverse
from pytest_django.fixtures import Settings

from derive.admin.dashboard.health_checks import check_interrogations
from derive.admin.lists import suggestions
from derive.interrogations.registry import Registry
from derive.queue import JobQueue
from tests.admin.conftest import Browse
from tests.unit.test_interrogation_registry import PROMPT, package

REGISTERED, BROKEN = "mood", "broken"
LONG_AFTER_THE_ENTITY = PROMPT + "Look closely at every word of the evidence. " * 40


@pytest.fixture
def folder(transactional_db: None, empty_queue: None, tmp_path: Path, settings: Settings) -> Iterator[Path]:
    """A folder whose one interrogation was changed after it was registered, and whose other one is broken."""
    mood = package(tmp_path, REGISTERED, prompt_md=LONG_AFTER_THE_ENTITY)
    definition = Registry.load(tmp_path).get(REGISTERED).definition
    JobQueue().register(
        definition_sha256=definition.definition_sha256,
        interrogation_key=definition.interrogation_key,
        version=definition.version,
        prompt_template=definition.prompt_template,
        output_schema_json=definition.output_schema_json,
        rubric=definition.rubric,
    )
    (mood / "rubric.md").write_text("Be verbose.\n")
    package(tmp_path, BROKEN, rubric_md=None)
    settings.INTERROGATIONS_FOLDER = tmp_path
    suggestions._live_registry.cache_clear()
    yield tmp_path
    suggestions._live_registry.cache_clear()


def enqueue(*arguments: str, key: str = REGISTERED) -> tuple[Any, str, str]:
    printed, complained = StringIO(), StringIO()
    job = ["--interrogation", key, "--entity-type", "planet", "--entity-id", "hoth", "--evidence", "Ice."]
    with pytest.raises(SystemExit) as ended:
        call_command("enqueue_jobs", *job, *arguments, stdout=printed, stderr=complained)
    return ended.value.code, printed.getvalue(), complained.getvalue()


def test_a_dry_run_tells_the_author_of_warnings_and_of_a_text_changed_under_its_version(folder: Path) -> None:
    code, printed, complained = enqueue("--dry-run", "--json")
    assert code == 1
    assert json.loads(printed)["changed_definitions"] == [REGISTERED]
    warning, changed = complained.splitlines()
    assert "mood 1.0.0: warning at prompt.md: only about" in warning
    assert f"mood 1.0.0 was changed after it was registered: raise VERSION in {folder}/mood/output.py" in changed


def test_a_dry_run_of_a_file_tells_the_same(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("jobs") / "jobs.jsonl"
    line = {"interrogation_key": REGISTERED, "input": {"entity_type": "planet", "entity_id": "hoth"}}
    file.write_text(json.dumps(line))
    with pytest.raises(SystemExit) as ended:
        call_command("enqueue_jobs", str(file), "--dry-run", stdout=StringIO(), stderr=(complained := StringIO()))
    assert ended.value.code == 1
    assert "was changed after it was registered" in complained.getvalue()


def test_a_dry_run_is_content_once_the_version_is_raised(folder: Path) -> None:
    output = (folder / "mood/output.py").read_text()
    (folder / "mood/output.py").write_text(output.replace("1.0.0", "1.1.0"))
    code, printed, _ = enqueue("--dry-run")
    assert (code, printed) == (0, "the job is valid; nothing was queued (dry run)\n")


def test_a_job_for_a_broken_interrogation_is_refused_with_its_file(folder: Path) -> None:
    code, _, complained = enqueue(key=BROKEN)
    assert code == 1
    assert f"not queued: the interrogation 'broken' is broken: {folder}/broken/rubric.md is missing" in complained


def test_the_page_and_the_dashboard_say_what_cannot_be_used(folder: Path, browse: Browse) -> None:
    page = browse("viewer").get(reverse("admin:derive_interrogation_changelist")).content.decode()
    assert "broken cannot be used" in page
    assert "rubric.md is missing" in page
    assert "mood 1.0.0 was changed after it was registered: raise VERSION" in page
    (check,) = check_interrogations()
    assert not check.ok
    assert "broken cannot be used" in check.reason


def test_the_form_offers_what_can_be_used(folder: Path, browse: Browse) -> None:
    page = browse("operator").get(reverse("admin:derive_job_act_enqueue"), {"interrogation": BROKEN}).content.decode()
    assert f">{REGISTERED}</option>" in page
    assert f">{BROKEN}</option>" not in page
