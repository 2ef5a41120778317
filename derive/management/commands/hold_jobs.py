"""``manage.py hold_jobs``: keeps jobs from being purged, or ends that."""

from argparse import ArgumentParser
from typing import Any

from derive.management.job_options import add_job_options
from derive.management.quick_command import QuickCommand

EXAMPLES = """  manage.py hold_jobs --entity luke --reason "legal hold 17"
  manage.py hold_jobs --entity luke --end --reason "legal hold 17 has ended"
"""


class Command(QuickCommand):
    """Hold jobs, or end their hold."""

    help = "Holds jobs, so that they are never purged, or ends their hold. Held jobs run as before."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add_job_options(parser, examples=EXAMPLES)
        parser.add_argument("--end", action="store_true", help="end the hold")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Hold and exit with the code."""
        from derive.management.acting import run

        run("unhold" if given["end"] else "hold", given, stdout=self.stdout, stderr=self.stderr)
