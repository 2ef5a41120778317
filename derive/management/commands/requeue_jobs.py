"""``manage.py requeue_jobs``: requeues failed, dead-lettered and cancelled jobs."""

from argparse import ArgumentParser
from typing import Any

from derive.management.job_options import add_job_options
from derive.management.quick_command import QuickCommand

EXAMPLES = """  manage.py requeue_jobs --status DEADLETTER --error-kind model_crashed --ended-since 24h --dry-run
  manage.py requeue_jobs --filter 'status=FAILED&ended=today' --reason "the model is back"
  manage.py requeue_jobs --job 6f1c2a4e-5a0e-4c7e-9a53-2b1d6c1f8e11 --at 2030-01-31T02:00 --reason "at night"
"""


class Command(QuickCommand):
    """Requeue jobs with all their attempts."""

    help = "Requeues failed, dead-lettered and cancelled jobs with all their attempts, now or at a time."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add_job_options(parser, examples=EXAMPLES)
        parser.add_argument("--at", metavar="TIME", default="", help="ready from this time, such as 2030-01-31T02:00")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Requeue and exit with the code."""
        from derive.management.acting import run

        name = "retry_at" if given["at"] else "requeue"
        run(name, given, value=given["at"], stdout=self.stdout, stderr=self.stderr)
