"""``manage.py export_outputs``: exports answers or facts as JSONL, CSV or Parquet."""

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
  manage.py export_outputs answers.jsonl                              all answers, one row each
  manage.py export_outputs facts.csv --facts --since 7d               the last week's admitted facts, one row each
  manage.py export_outputs facts.parquet --facts --interrogation sw_entity_facts_v1 --entity-type planet
  manage.py export_outputs - --facts | duckdb -c "SELECT * FROM read_json('/dev/stdin')"
  manage.py export_outputs new-$(date +%F).jsonl --cursor feed.cursor  only rows not yet exported with this cursor

docs/exports.md lists every column. Rows are ordered by run number; only succeeded runs are exported. They are written
to FILE.partial, which is renamed to FILE when complete; --resume continues an interrupted export. With --cursor, an
export starts where the previous one ended and stops before the first run still in progress, so each run is exported
exactly once.

exit codes: 0 exported (even if nothing matched), 2 error (the message says what to do),
130 stopped by Ctrl-C: continue with --resume
"""


def _job(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a job id") from None


class Command(QuickCommand):
    """Write answers or facts with their lineage to a file, complete or not at all."""

    help = (
        "Exports the answers of succeeded runs with their lineage as JSONL, CSV or Parquet: one row per answer or fact."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("file", metavar="FILE", help="the file to write, or - for standard output")
        parser.add_argument(
            "--format",
            choices=[form.value for form in FileFormat],
            help="default: from the file name; jsonl if it has no ending",
        )
        facts = parser.add_mutually_exclusive_group()
        facts.add_argument(
            "--facts", action="store_true", help="one row per admitted fact (default: one row per answer)"
        )
        facts.add_argument(
            "--all-facts",
            action="store_true",
            help="one row per fact, including refuted, conflicting and unreviewed ones",
        )
        parser.add_argument(
            "--exact",
            action="store_true",
            help="CSV: do not escape cells that look like spreadsheet formulas (JSONL and Parquet never do)",
        )
        which = parser.add_argument_group("which answers")
        which.add_argument("--interrogation", metavar="KEY", help="to this interrogation")
        # Not --version, which is Django's own.
        which.add_argument("--interrogation-version", metavar="V", dest="its_version", help="to this version of it")
        which.add_argument("--model", metavar="M", help="by this model; without a tag: any tag")
        which.add_argument("--entity-type", metavar="TYPE", help="about this type of entity")
        which.add_argument("--entity", metavar="ID", help="about this entity")
        which.add_argument("--job", action="append", type=_job, default=[], metavar="ID", help="may be repeated")
        which.add_argument(
            "--since",
            type=moment,
            metavar="T",
            help="of runs that ended at or after T: an ISO time (UTC unless it names a zone), 24h, 7d",
        )
        which.add_argument("--until", type=moment, metavar="T", help="of runs that ended before T")
        going_on = parser.add_argument_group("incremental exports")
        going_on.add_argument("--resume", action="store_true", help="continue the interrupted export to FILE")
        going_on.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
        going_on.add_argument(
            "--cursor", type=Path, metavar="PATH", help="export only what no export with this cursor has written yet"
        )
        parser.add_argument(
            "--json", action="store_true", help="print one line of JSON at the end (on standard error with -)"
        )

    def handle(self, *_args: Any, **given: Any) -> None:
        """Export and exit with the code."""
        from derive.management.exporting import Exporting

        sys.exit(Exporting(stdout=self.stdout, stderr=self.stderr).run(given))
