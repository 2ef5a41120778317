"""``manage.py set_priority``: changes the priority of jobs."""

from argparse import ArgumentParser
from typing import Any

from derive.management.job_options import add_job_options
from derive.management.quick_command import QuickCommand

EXAMPLES = """  manage.py set_priority 300 --entity luke --status NEW --reason "asked for by support"
  manage.py set_priority 0 --queued-by schedule:nightly --dry-run
"""


class Command(QuickCommand):
    """Set the priority of jobs that have not succeeded."""

    help = "Sets the priority of jobs; higher runs first. Succeeded jobs are skipped."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("priority", metavar="PRIORITY", help="0 or more, higher runs first (100 is the default)")
        add_job_options(parser, examples=EXAMPLES)

    def handle(self, *_args: Any, **given: Any) -> None:
        """Set it and exit with the code."""
        from derive.management.acting import run

        run("priority", given, value=given["priority"], stdout=self.stdout, stderr=self.stderr)
