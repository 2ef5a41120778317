"""What a command loads before it begins: nothing of the admin, which is most of the tree, and no costly library."""

import subprocess
import sys
from pathlib import Path

import pytest

from derive.management import commands
from holocron.settings import BASE_DIR

COMMANDS = sorted(path.stem for path in Path(commands.__path__[0]).glob("[a-z]*.py"))
OFTEN_RUN = ("inspect_jobs", "enqueue_jobs", "run_llm_worker", "purge")
"""By people and by timers: they start in half a second of processor time."""
COSTLY = ("pydantic", "rich", "httpx", "jsonschema_rs", "fsspec", "opentelemetry", "derive.contracts", "derive.ollama")
START = """
import sys, django
django.setup()
from django.core.management import load_command_class
for name in ("", *{often_run}):
    if name:
        load_command_class("derive", name).create_parser("manage.py", name)
    for module in {costly}:
        assert module not in sys.modules, (name or "the set-up", module)
for name in {names}:
    command = load_command_class("derive", name)
    command.create_parser("manage.py", name)
    assert name == "migrate" or not command.requires_system_checks, name  # Django's own migrate looks at the tree first
    assert "derive.admin" not in sys.modules, name
from django.core.checks import run_checks
run_checks(tags=["admin"])
assert "derive.admin" in sys.modules, "Django's checks saw no page"
"""


@pytest.mark.slow
def test_no_command_loads_the_admin_or_what_it_need_not_and_its_checks_do() -> None:
    assert "run_llm_worker" in COMMANDS
    done = subprocess.run(
        [sys.executable, "-c", START.format(names=COMMANDS, often_run=OFTEN_RUN, costly=COSTLY)],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
