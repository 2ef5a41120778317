"""``manage.py demo``: runs sample questions through queue, model and lake."""

import os
import subprocess
import sys
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Mapping
from typing import Any, NoReturn

from derive.management.quick_command import QuickCommand

OWN_FOLDER = "var/demo"
LEFT_BEHIND = ("DATABASE_URL", "LAKE_URL")
"""Settings that would point the demo at another database or lake."""


class Command(QuickCommand):
    """Run the sample interrogations from start to end."""

    help = (
        "Runs more than forty sample interrogations and shows each result, then keeps the web server, scheduler and "
        "worker running until Ctrl-C. Uses its own database and lake in var/demo unless --here is given. Asks the "
        "Ollama server at OLLAMA_BASE_URL if it has OLLAMA_MODEL, otherwise a rule-based stand-in. "
        "Exit code 0 if every sample ended as expected."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--once", action="store_true", help="exit after the samples; start no web server")
        parser.add_argument(
            "--json", action="store_true", help="print one line of JSON at the end; progress goes to standard error"
        )
        parser.add_argument("--here", action="store_true", help="use the database and lake of the settings")
        parser.add_argument("--own-world", action="store_true", help=SUPPRESS)

    def handle(self, *_args: Any, **given: Any) -> None:
        """Run the demo and exit with its code."""
        if not given["here"] and not given["own_world"]:
            _run_in_own_world(sys.argv)
        from derive.management.demo_run import run_demo

        sys.exit(run_demo(given))


def _own_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the demo's own instance, without the given database and lake."""
    return {name: value for name, value in environment.items() if name not in LEFT_BEHIND} | {
        "HOLOCRON_VAR": OWN_FOLDER
    }


def _run_in_own_world(arguments: list[str]) -> NoReturn:
    """Run this command again with its own database and lake."""
    command, environment = [sys.executable, *arguments, "--own-world"], _own_environment(os.environ)
    if os.name == "posix":
        # In this same process, so that signals sent to it arrive.
        os.execve(sys.executable, command, environment)  # noqa: S606 (no shell is wanted)
    child = subprocess.Popen(command, env=environment)
    while True:
        try:
            sys.exit(child.wait())
        except KeyboardInterrupt:
            # The terminal has interrupted the child too, which shuts down by itself.
            continue
