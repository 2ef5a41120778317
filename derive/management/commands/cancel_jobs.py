"""``manage.py cancel_jobs``: cancels waiting jobs and stops running ones."""

from argparse import ArgumentParser
from typing import Any

from derive.management.job_options import add_job_options
from derive.management.quick_command import QuickCommand

EXAMPLES = """  manage.py cancel_jobs --status NEW --interrogation sw_entity_facts_v1 --queued-since 1h --dry-run
  manage.py cancel_jobs --queued-by schedule:nightly --reason "superseded by the new import"
"""


class Command(QuickCommand):
    """Cancel jobs that have not ended."""

    help = "Cancels waiting jobs at once; running ones are stopped by their workers within seconds."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add_job_options(parser, examples=EXAMPLES)

    def handle(self, *_args: Any, **given: Any) -> None:
        """Cancel and exit with the code."""
        from derive.management.acting import run

        run("cancel", given, stdout=self.stdout, stderr=self.stderr)
