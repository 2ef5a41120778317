"""``manage.py verify_runs``: verifies the rows and files of past runs."""

import argparse
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any
from uuid import UUID

from django.core.management.base import CommandParser

from derive.management.quick_command import QuickCommand
from derive.management.times import moment

_EXAMPLES = """examples:
  manage.py verify_runs                                   every run, every byte
  manage.py verify_runs --quick --since 24h               rows, manifests and sizes of the last day's runs
  manage.py verify_runs --since 2026-01-31T12:00:00Z      runs started since then
  manage.py verify_runs --run 0d3f6c1e-…                  one run
  manage.py verify_runs --shard 3/16                      the third of 16 parts, each on a machine of its own
  manage.py verify_runs --json | jq 'select(.kind == "finding")'

Prints one line per fault: run id, file, what was checked, what is wrong. Folders of runs that died after writing to
the lake and before SQL recorded them are listed separately and are not faults.
Exit codes: 0 everything verifies, 1 faults, 2 error.
"""


def _shard(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,4})/(\d{1,4})", text)
    number, count = map(int, found.groups()) if found else (0, 0)
    if not 1 <= number <= count:
        raise ArgumentTypeError(f"{text!r} is not K/N with K from 1 to N, like 3/16")
    return number, count


def _run(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a run id") from None


class Command(QuickCommand):
    """Verify past runs and print what does not hold."""

    help = "Verifies past runs: compares SQL, manifests and files, renders prompts and judges answers again."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the line breaks of the examples."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.epilog = _EXAMPLES
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--run", type=_run, metavar="ID", help="only this run")
        which.add_argument(
            "--since",
            type=moment,
            metavar="T",
            help="runs started at or after T: an ISO time (UTC unless it names a zone), 24h, 7d",
        )
        parser.add_argument(
            "--shard",
            type=_shard,
            metavar="K/N",
            help="the Kth of N equal parts, for N processes on any machines; all together verify everything once",
        )
        parser.add_argument(
            "--quick", action="store_true", help="compare SQL with manifests and file sizes; read no files"
        )
        parser.add_argument(
            "--json", action="store_true", help="print one line of JSON per finding and orphan, then the summary"
        )

    def handle(self, *_args: Any, **given: Any) -> None:
        """Verify, and exit with the code."""
        from derive.management.run_verifying import RunVerifying

        sys.exit(RunVerifying(stdout=self.stdout, stderr=self.stderr).run(given))
