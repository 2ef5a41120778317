"""``manage.py move_lake URL``: copies the lake to another folder or object store."""

import argparse
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandParser

from derive.management.quick_command import QuickCommand

_EXAMPLES = """examples:
  manage.py move_lake s3://bucket/holocron        copy the lake at LAKE_URL there
  manage.py move_lake /mnt/share/lake             to a folder; run it again after an interruption: it goes on
  manage.py move_lake s3://bucket/holocron --json the totals as JSON

The first copy may run while workers do. When nothing is left but what they write, stop workers, web and scheduler, and
run it again: it copies the rest, checks that no file is missing, and then writes lake.json, by which the database knows
its lake. Set LAKE_URL to the new place, start everything again, and let verify_runs read every byte there. The old lake
stays as it is.

Exit codes: 0 moved, 1 copied but not finished (workers are alive, or files could not be copied), 2 error.
"""


class Command(QuickCommand):
    """Copy the lake, and hand it over when it is whole."""

    help = "Copies the lake at LAKE_URL to another folder or object store, checks every file, and goes on where it was."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the line breaks of the examples."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.epilog = _EXAMPLES
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "url", metavar="URL", help="the new lake: a folder, s3://bucket/path or abfs://container/path"
        )
        parser.add_argument("--threads", type=int, default=8, metavar="N", help="folders copied at once (8)")
        parser.add_argument("--json", action="store_true", help="print the totals as one line of JSON")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Copy, and exit with the code."""
        from derive.management.lake_moving import LakeMoving

        sys.exit(LakeMoving(stdout=self.stdout, stderr=self.stderr).run(given))
