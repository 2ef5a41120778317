"""``manage.py export_outputs``: what succeeded runs found, as JSONL, CSV or Parquet."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any
from uuid import UUID

from derive.export.forms import FileFormat
from derive.management.quick_command import QuickCommand
from derive.management.times import moment

EXAMPLES = """
examples:
  manage.py export_outputs answers.jsonl                              a row an answer, everything there is
  manage.py export_outputs facts.csv --facts --since 7d               a row a fact, of the last week
  manage.py export_outputs facts.parquet --facts --interrogation sw_entity_facts_v1 --entity-type planet
  manage.py export_outputs - --facts | duckdb -c "SELECT * FROM read_json('/dev/stdin')"
  manage.py export_outputs new-$(date +%F).jsonl --cursor feed.cursor  what the last one with this cursor had not

docs/exports.md tells every column. Rows are in the order of run numbers; a run is exported once, when it has succeeded.
The file gets its name when it is whole; until then it is FILE.partial, and --resume goes on with it. With --cursor an
export begins where the one before ended, and stops below the first run that is still under way, so that none is ever
missed or told twice.

exit codes: 0 exported (also when nothing matched), 2 could not start or go on (what is said is what to do),
130 stopped by Ctrl-C: go on with --resume
"""


def _job(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a job id") from None


class Command(QuickCommand):
    """Write answers or facts with their lineage to a file, whole or not at all."""

    help = (
        "Writes what succeeded runs found, with its lineage: JSONL, CSV or Parquet; a row an answer, or a row a fact."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("file", metavar="FILE", help="the file to make, or - for standard output")
        parser.add_argument(
            "--format", choices=[form.value for form in FileFormat], help="default: by the file's name, else jsonl"
        )
        facts = parser.add_mutually_exclusive_group()
        facts.add_argument(
            "--facts", action="store_true", help="a row a fact that is admitted (default: a row an answer)"
        )
        facts.add_argument(
            "--all-facts", action="store_true", help="a row a fact, also of those refuted, in conflict or under review"
        )
        parser.add_argument(
            "--exact",
            action="store_true",
            help="CSV: leave cells that look like a spreadsheet's formula as they are (JSONL and Parquet always do)",
        )
        which = parser.add_argument_group("which answers")
        which.add_argument("--interrogation", metavar="KEY", help="of this question")
        # Not --version, which is Django's own.
        which.add_argument("--interrogation-version", metavar="V", dest="its_version", help="of this version of it")
        which.add_argument("--model", metavar="M", help="by this model; without a tag: any tag of it")
        which.add_argument("--entity-type", metavar="TYPE", help="about this type of entity")
        which.add_argument("--entity", metavar="ID", help="about this entity")
        which.add_argument("--job", action="append", type=_job, default=[], metavar="ID", help="may be repeated")
        which.add_argument(
            "--since", type=moment, metavar="T", help="of runs that ended since: an ISO time (UTC), 24h, 7d"
        )
        which.add_argument("--until", type=moment, metavar="T", help="of runs that ended before")
        going_on = parser.add_argument_group("going on")
        going_on.add_argument("--resume", action="store_true", help="continue the interrupted export to FILE")
        going_on.add_argument("--overwrite", action="store_true", help="replace FILE if it is there")
        going_on.add_argument(
            "--cursor", type=Path, metavar="PATH", help="a feed: only what no export with this cursor has written yet"
        )
        parser.add_argument("--json", action="store_true", help="end with one line of JSON (on standard error with -)")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Export and exit with the code."""
        from derive.management.exporting import Exporting

        sys.exit(Exporting(stdout=self.stdout, stderr=self.stderr).run(given))
