"""What a command loads before it begins: nothing of the admin, which is most of the tree, and no costly library.

Every command's start stays below half a second of processor time by this; the time itself is not tested, as it is the
machine's. ``python -X importtime manage.py COMMAND --help`` tells what a start is made of.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from derive.management import commands
from holocron.settings import BASE_DIR

COMMANDS = sorted(path.stem for path in Path(commands.__path__[0]).glob("[a-z]*.py"))
DONE_BY_TIMERS = ("derive.schedules.heartbeats", "derive.inspection")
"""What ``check_scheduler`` and ``inspect_jobs --json`` call: run each minute, they load none of it to the end."""
COSTLY = (
    "pydantic",
    "rich",
    "httpx",
    "jsonschema_rs",
    "fsspec",
    "opentelemetry",
    "derive.contracts",
    "derive.model_servers",
)
START = """
import importlib, sys, django

def refuse_costly(when):
    loaded = [module for module in {costly} if module in sys.modules]
    assert not loaded, (when, loaded)

django.setup()
refuse_costly("the set-up")
from django.core.management import load_command_class
for name in {names}:
    command = load_command_class("derive", name)
    command.create_parser("manage.py", name)
    refuse_costly(name)
    assert name == "migrate" or not command.requires_system_checks, name  # Django's own migrate looks at the tree first
    assert "derive.admin" not in sys.modules, name
for name in {done_by_timers}:
    importlib.import_module(name)
    refuse_costly(name)
from django.core.checks import run_checks
run_checks(tags=["admin"])
assert "derive.admin" in sys.modules, "Django's checks saw no page"
"""


@pytest.mark.slow
def test_no_command_loads_the_admin_or_what_it_need_not_and_its_checks_do() -> None:
    assert "run_llm_worker" in COMMANDS
    done = subprocess.run(
        [sys.executable, "-c", START.format(names=COMMANDS, done_by_timers=DONE_BY_TIMERS, costly=COSTLY)],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
