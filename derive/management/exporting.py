"""Runs ``manage.py export_outputs`` with parsed options; exit codes as in the command."""

import json
import os
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import OutputWrapper
from django.db import connection
from pydantic import ValidationError

from derive.errors import ConfigurationError, HolocronError
from derive.export.columns import Rows
from derive.export.exporting import Export, ExportStopped, export_to_stream
from derive.export.forms import FileFormat
from derive.export.progress import ExportCheckpoint, ExportOrder
from derive.export.selection import MAX_JOBS, ExportSelection
from derive.management.export_progress import ExportProgress
from derive.management.import_progress import InterruptGuard
from derive.plural import plural
from derive.sql.scripts import check_schema

EXPORTED, COULD_NOT_GO_ON, STOPPED = 0, 2, 130
_FORM_OF = {
    ".jsonl": FileFormat.JSONL,
    ".ndjson": FileFormat.JSONL,
    ".csv": FileFormat.CSV,
    ".parquet": FileFormat.PARQUET,
}


class Exporting:
    """One call of the command: exports what its options select."""

    def __init__(self, *, stdout: OutputWrapper, stderr: OutputWrapper) -> None:
        self.stdout = stdout
        self.stderr = stderr

    def run(self, given: dict[str, Any]) -> int:
        """Export; return the exit code. Prints errors to standard error."""
        with ExportProgress() as shown, InterruptGuard() as stop:
            try:
                order = _order(given)
                check_schema(connection)
                self._report(self._export(order, given, shown, stop), given, shown)
                code = EXPORTED
            except ExportStopped as stopped:
                code = STOPPED if stopped.__cause__ is None else COULD_NOT_GO_ON
                shown.say(f"export_outputs: {stopped}; {_onward(stopped.progress, given)}")
            except BrokenPipeError:
                # The reader is gone; this keeps Python from failing again when it closes standard output.
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                code = COULD_NOT_GO_ON
            except (HolocronError, OSError) as error:
                shown.say(f"export_outputs: {str(error).strip().partition(chr(10))[0]}")
                code = COULD_NOT_GO_ON
            except KeyboardInterrupt:
                shown.say("export_outputs: stopped; continue with --resume")
                code = STOPPED
        return code

    def _export(
        self, order: ExportOrder, given: dict[str, Any], shown: ExportProgress, stop: InterruptGuard
    ) -> ExportCheckpoint:
        if given["file"] == "-":
            if given["resume"] or order.form is FileFormat.PARQUET:
                raise ConfigurationError(
                    "standard output supports only jsonl and csv, without --resume: give a file name"
                )
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
        if not progress.row_count and (given["facts"] or given["all_facts"]):
            shown.say(f"export_outputs: {_why_no_facts(given)}")


def _order(given: dict[str, Any]) -> ExportOrder:
    name = given["file"]
    form = FileFormat(given["format"]) if given["format"] else _form_of(name)
    if given["exact"] and form is not FileFormat.CSV:
        raise ConfigurationError("--exact applies only to CSV")
    if len(given["job"]) > MAX_JOBS:
        raise ConfigurationError(
            f"--job names {plural(len(given['job']), 'job')}, more than {MAX_JOBS}: use another filter"
        )
    try:
        selection = ExportSelection(
            rows=Rows.ALL_FACTS if given["all_facts"] else Rows.FACTS if given["facts"] else Rows.OUTPUTS,
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
    return ExportOrder(selection=selection, form=form, is_exact=given["exact"])


def _why_no_facts(given: dict[str, Any]) -> str:
    others = " --all-facts also exports facts that were not admitted." if given["facts"] else ""
    return (
        f"no stored fact matched.{others} Answers from before facts were stored have none: "
        "manage.py rebuild_facts judges them"
    )


def _form_of(name: str) -> FileFormat:
    """Return the format of a file by its name; JSONL for a name that has no ending. Raises ConfigurationError."""
    ending = Path(name).suffix.lower()
    if not ending:
        return FileFormat.JSONL
    if ending not in _FORM_OF:
        raise ConfigurationError(
            f"no format is known for {ending} files: name the file {', '.join(_FORM_OF)}, or give --format"
        )
    return _FORM_OF[ending]


def _onward(progress: ExportCheckpoint, given: dict[str, Any]) -> str:
    if given["file"] == "-":
        return "the cursor has not moved" if given["cursor"] else "nothing is kept"
    return f"kept {plural(progress.row_count, 'row')} in {given['file']}.partial: continue with --resume"
