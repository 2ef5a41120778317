"""The workflow runs what it promises: each engine, each Python, and what only a machine with Docker can try."""

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from holocron.settings import BASE_DIR
from tests.unit.compose_file import example_variables, read_compose_file, vendored_schema

WORKFLOWS = sorted((BASE_DIR / ".github/workflows").glob("*.yml"))
WORKFLOW: dict[Any, Any] = yaml.safe_load((BASE_DIR / ".github/workflows/ci.yml").read_text("utf-8"))
JOBS: dict[str, Any] = WORKFLOW["jobs"]


def commands_of(job: str) -> str:
    return "\n".join(step["run"] for step in JOBS[job]["steps"] if "run" in step)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_it_is_a_workflow(path: Path) -> None:
    # YAML reads the key `on` as true.
    written = {("on" if key is True else key): value for key, value in yaml.safe_load(path.read_text("utf-8")).items()}
    jsonschema.Draft7Validator(vendored_schema("github-workflows")).validate(written)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_with_their_version_in_a_comment(path: Path) -> None:
    uses = [line for line in path.read_text("utf-8").splitlines() if "uses:" in line]
    assert uses
    for line in uses:
        assert re.search(r"uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_dependabot_is_told_in_its_own_words() -> None:
    written = yaml.safe_load((BASE_DIR / ".github/dependabot.yml").read_text("utf-8"))
    jsonschema.Draft7Validator(vendored_schema("dependabot")).validate(written)


def test_the_contract_is_kept_on_every_engine_and_python() -> None:
    assert JOBS["all"]["strategy"]["matrix"] == {"python": ["3.11", "3.12", "3.13"]}
    assert JOBS["postgresql"]["strategy"]["matrix"] == {"postgresql": ["15", "16", "17", "18"]}
    assert JOBS["sqlserver"]["strategy"]["matrix"]["sqlserver"] == ["2022", "2025"]
    assert JOBS["sqlserver"]["services"]["sqlserver"]["image"] == (
        "mcr.microsoft.com/mssql/server:${{ matrix.sqlserver }}-latest"
    )
    assert JOBS["sqlserver"]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    for job in ("postgresql", "sqlserver"):
        assert "make test-contract" in commands_of(job)
    assert ".ci/run" in commands_of("all")


def test_the_image_job_fills_in_what_the_compose_file_wants_and_builds_its_image() -> None:
    commands = commands_of("image")
    wanted = [name for name in example_variables() if "PASSWORD" in name or name == "SECRET_KEY"]
    optional = {"DATABASE_PASSWORD", "DATABASE_PASSWORD_FILE", "EMAIL_PASSWORD", "EMAIL_PASSWORD_FILE"}
    for name in set(wanted) - optional:
        assert name in commands
    assert read_compose_file()["services"]["web"]["image"] in commands
    assert "docker compose config" in commands
