"""``manage.py export_outputs``: what succeeded runs found, as JSONL, CSV or Parquet."""

import json
import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection
from pydantic import ValidationError

from derive.errors import ConfigurationError, HolocronError
from derive.export.columns import Rows
from derive.export.exporting import Export, ExportStopped, export_to_stream
from derive.export.forms import FileFormat
from derive.export.progress import ExportCheckpoint, Order
from derive.export.selection import MAX_JOBS, ExportSelection
from derive.management.export_progress import ExportProgress
from derive.management.import_progress import StopOnce
from derive.management.quick_command import QuickCommand
from derive.management.times import moment
from derive.plural import plural
from derive.sql.scripts import check_schema

EXPORTED, COULD_NOT_GO_ON, STOPPED = 0, 2, 130
_FORM_OF = {
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".csv": FileFormat.CSV,
    ".parquet": FileFormat.PARQUET,
}
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
        raise ArgumentTypeError(f"{text!r} is no job id") from None


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
        parser.add_argument("--facts", action="store_true", help="a row a fact (default: a row an answer)")
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
        going_on.add_argument(
            "--resume", action="store_true", help="go on with the export to FILE that was interrupted"
        )
        going_on.add_argument("--overwrite", action="store_true", help="replace FILE if it is there")
        going_on.add_argument(
            "--cursor", type=Path, metavar="PATH", help="a feed: only what no export with this cursor has told yet"
        )
        parser.add_argument("--json", action="store_true", help="end with one line of JSON (on standard error with -)")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Export and exit with the code."""
        with ExportProgress() as shown, StopOnce() as stop:
            try:
                order = _order(given)
                check_schema(connection)
                self._report(self._export(order, given, shown, stop), given, shown)
                code = EXPORTED
            except ExportStopped as stopped:
                code = STOPPED if stopped.__cause__ is None else COULD_NOT_GO_ON
                shown.say(f"export_outputs: {stopped}; {_onward(stopped.progress, given)}")
            except BrokenPipeError:
                # Who reads has gone; Python would complain once more when it closes standard output.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                code = COULD_NOT_GO_ON
            except (HolocronError, OSError) as error:
                shown.say(f"export_outputs: {str(error).strip().partition(chr(10))[0]}")
                code = COULD_NOT_GO_ON
            except KeyboardInterrupt:
                shown.say("export_outputs: stopped at once; go on with --resume")
                code = STOPPED
        sys.exit(code)

    def _export(self, order: Order, given: dict[str, Any], shown: ExportProgress, stop: StopOnce) -> ExportCheckpoint:
        if given["file"] == "-":
            if given["resume"] or order.form is FileFormat.PARQUET:
                raise ConfigurationError("standard output takes jsonl or csv, and no --resume: give a file's name")
            return export_to_stream(
                order, sys.stdout.buffer, cursor=given["cursor"], show=shown.show, is_stopping=stop.asked
            )
        export = Export(order, Path(given["file"]), cursor=given["cursor"])
        progress = export.resumed() if given["resume"] else export.begin(overwrite=given["overwrite"])
        return export.run(progress, show=shown.show, is_stopping=stop.asked)

    def _report(self, progress: ExportCheckpoint, given: dict[str, Any], shown: ExportProgress) -> None:
        report = {"file": given["file"], "rows": progress.row_count, "through": progress.through}
        if given["json"]:
            (self.stderr if given["file"] == "-" else self.stdout).write(json.dumps(report))
        else:
            shown.say(
                f"{plural(progress.row_count, 'row')} of runs up to number {progress.through:,} in {given['file']}"
            )


def _order(given: dict[str, Any]) -> Order:
    name = given["file"]
    form = FileFormat(given["format"]) if given["format"] else _FORM_OF.get(Path(name).suffix.lower(), FileFormat.JSONL)
    if given["exact"] and form is not FileFormat.CSV:
        raise ConfigurationError("--exact is for CSV: the other forms change nothing")
    if len(given["job"]) > MAX_JOBS:
        raise ConfigurationError(
            f"--job names {plural(len(given['job']), 'job')}, more than {MAX_JOBS}: use another filter"
        )
    try:
        selection = ExportSelection(
            rows=Rows.FACTS if given["facts"] else Rows.OUTPUTS,
            interrogation=given["interrogation"],
            version=given["its_version"],
            model=given["model"],
            entity_type=given["entity_type"],
            entity=given["entity"],
            since=given["since"],
            until=given["until"],
            jobs=tuple(given["job"]),
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ConfigurationError(f"--{'-'.join(map(str, first['loc'])).replace('_', '-')}: {first['msg']}") from error
    return Order(selection=selection, form=form, is_exact=given["exact"])


def _onward(progress: ExportCheckpoint, given: dict[str, Any]) -> str:
    if given["file"] == "-":
        return "the cursor has not moved" if given["cursor"] else "nothing is kept"
    return f"kept {plural(progress.row_count, 'row')} in {given['file']}.partial: go on with --resume"
