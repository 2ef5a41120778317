"""What a command loads before it begins: nothing of the admin, which is most of the tree."""

import subprocess
import sys
from pathlib import Path

from derive.management import commands
from holocron.settings import BASE_DIR

COMMANDS = sorted(path.stem for path in Path(commands.__path__[0]).glob("[a-z]*.py"))
START = """
import sys, django
django.setup()
from django.core.management import load_command_class
for name in {names}:
    command = load_command_class("derive", name)
    command.create_parser("manage.py", name)
    assert name == "migrate" or not command.requires_system_checks, name  # Django's own migrate looks at the tree first
    assert "derive.admin" not in sys.modules, name
from django.core.checks import run_checks
run_checks(tags=["admin"])
assert "derive.admin" in sys.modules, "Django's checks saw no page"
"""


def test_no_command_loads_the_admin_and_its_checks_do() -> None:
    assert "run_llm_worker" in COMMANDS
    done = subprocess.run(
        [sys.executable, "-c", START.format(names=COMMANDS)],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
