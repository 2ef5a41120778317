"""``manage.py report_facts``: facts beside their evidence, as one HTML file that needs no account."""

import os
import secrets
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from uuid import UUID

from django.conf import settings
from django.db import connection

from derive.errors import ConfigurationError, HolocronError
from derive.management.quick_command import QuickCommand
from derive.plural import plural
from derive.sql.clock import database_now
from derive.sql.scripts import check_schema

if TYPE_CHECKING:
    from derive.fact_report.report import ReportSelection

WRITTEN, NOTHING_FOUND, COULD_NOT_GO_ON, STOPPED = 0, 1, 2, 130
EXAMPLES = """
examples:
  manage.py report_facts --job 6f1c2a4e-5a0e-4c7e-9a53-2b1d6c1f8e11 --output facts.html
  manage.py report_facts --entity character/tala-venn --entity planet/corvessa --output facts.html
  manage.py report_facts --interrogation sw_entity_facts_v1 --output facts.html --overwrite

The file works offline, without an account or scripts. It contains evidence and answers: protect it as you protect
those.

exit codes: 0 written, 1 no facts found (nothing is written), 2 error, 130 stopped by Ctrl-C
"""


def _job(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a job id") from None


def _storable(text: str) -> str:
    from derive.strict_types import check_storable

    try:
        return check_storable(text)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!a} {error}") from None


def _entity(text: str) -> tuple[str, str]:
    entity_type, slash, entity_id = _storable(text).partition("/")
    if not (slash and entity_type and entity_id):
        raise ArgumentTypeError(f"{text!r} is not a type and an id such as character/tala-venn")
    return entity_type, entity_id


class Command(QuickCommand):
    """Write a report of facts to a file, complete or not at all."""

    help = "Writes one self-contained HTML file of facts, their verdicts, and the evidence with each quote marked."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--job", action="append", type=_job, metavar="ID", help="of this job; may be repeated")
        which.add_argument(
            "--entity", action="append", type=_entity, metavar="TYPE/ID", help="about this entity; may be repeated"
        )
        which.add_argument(
            "--interrogation", type=_storable, metavar="KEY", help="of every answer to this interrogation"
        )
        parser.add_argument("--output", required=True, type=Path, metavar="FILE", help="the HTML file to write")
        parser.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
        parser.add_argument(
            "--superseded",
            action="store_true",
            help="include facts superseded by newer answers over the same evidence (always included with --job)",
        )

    def handle(self, *_args: Any, **given: Any) -> None:
        """Write the report and exit with the code."""
        from derive.fact_report.report import ReportSelection

        selection = ReportSelection(
            jobs=tuple(dict.fromkeys(given["job"] or ())),
            entities=tuple(dict.fromkeys(given["entity"] or ())),
            interrogation=given["interrogation"] or "",
            with_superseded=given["superseded"],
        )
        try:
            code = self._write(selection, given["output"], overwrite=given["overwrite"])
        except KeyboardInterrupt:
            self.stderr.write("report_facts: stopped; nothing is written")
            code = STOPPED
        except HolocronError as error:
            self.stderr.write(f"report_facts: {str(error).strip().partition(chr(10))[0]}")
            code = COULD_NOT_GO_ON
        except OSError as error:
            self.stderr.write(f"report_facts: {given['output']} cannot be written: {error.strerror or error}")
            code = COULD_NOT_GO_ON
        sys.exit(code)

    def _write(self, selection: "ReportSelection", output: Path, *, overwrite: bool) -> int:
        from derive.fact_report.document import ReportDocument
        from derive.fact_report.report import fill
        from derive.lake import Lake
        from derive.lake_identity import check_lake_identity

        if output.exists() and not overwrite:
            raise ConfigurationError(f"{output} exists already: choose another name, or give --overwrite")
        check_schema(connection)
        lake = Lake.open(settings.LAKE_URL)
        # A different lake is one error, instead of missing evidence in each section.
        check_lake_identity(lake)
        with ReportDocument(selection.title) as document:
            fill(document, selection, lake)
            if not document.fact_count:
                self.stderr.write(
                    "report_facts: no facts found; for answers older than the facts table, run rebuild_facts"
                )
                return NOTHING_FOUND
            with _whole_or_not_at_all(output) as sink:
                document.write_to(sink, made_utc=database_now())
        written = f"{plural(document.fact_count, 'fact')} of {plural(document.run_count, 'answer')}"
        self.stdout.write(f"{written} in {output}")
        return WRITTEN


@contextmanager
def _whole_or_not_at_all(output: Path) -> Iterator[BinaryIO]:
    """Yield a file that is renamed into place once it is complete and on disk."""
    partial = output.with_name(f".{output.name}.{secrets.token_hex(4)}.partial")
    try:
        with partial.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(output)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise
