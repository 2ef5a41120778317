"""``manage.py verify_runs``: past runs, their files and their rows against each other."""

import argparse
import json
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import connection

from derive.errors import HolocronError
from derive.lake import Lake
from derive.lake_identity import check_lake_identity
from derive.management.quick_command import QuickCommand
from derive.management.times import moment
from derive.plural import plural
from derive.sql.scripts import check_schema
from derive.states import RunStatus
from derive.verify.checkers import Checkers
from derive.verify.findings import Finding, Orphan, VerificationSummary
from derive.verify.reading import RunSelection, count_runs, run_status
from derive.verify.verification import Verification

ALL_VERIFY, FAULTS, COULD_NOT_START = 0, 1, 2
_EXAMPLES = """examples:
  manage.py verify_runs                                   every run, every byte
  manage.py verify_runs --quick --since 24h               rows, manifests and sizes of the last day's runs
  manage.py verify_runs --since 2026-01-31T12:00:00Z      runs started since then
  manage.py verify_runs --run 0d3f6c1e-…                  one run
  manage.py verify_runs --json | jq 'select(.kind == "finding")'

A line a fault: run id, file, what was checked, what is wrong. Folders of runs that died between lake and SQL are
listed apart and are no faults. Exit codes: 0 all verify, 1 faults, 2 could not start or go on.
"""


def _run(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no run id") from None


class Command(QuickCommand):
    """Verify past runs, say what does not hold, and exit by whether all does."""

    help = "Verifies past runs: SQL, manifests and files against each other, prompts rendered and answers judged again."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the examples' lines as they are."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.epilog = _EXAMPLES
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--run", type=_run, metavar="ID", help="this run alone")
        which.add_argument(
            "--since", type=moment, metavar="T", help="runs started since: an ISO time (UTC without a zone), 24h, 7d"
        )
        parser.add_argument("--quick", action="store_true", help="SQL against manifests and sizes; files are not read")
        parser.add_argument("--json", action="store_true", help="a line of JSON for each finding, orphan, the summary")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Verify, and exit with the code."""
        selection = RunSelection(since=given["since"], run_id=given["run"])
        try:
            check_schema(connection)
            self._check_run(selection)
            runs = count_runs(selection)
            lake = Lake.open(settings.LAKE_URL)
            # Of another lake, say that it is one, instead of a fault for each run.
            check_lake_identity(lake)
            checkers = Checkers.fitting(
                settings.LAKE_URL, settings.INTERROGATIONS_FOLDER, quick=given["quick"], runs=runs
            )
            with checkers, _progress(runs) as show:
                verification = Verification(lake, checkers, selection=selection, on_progress=show)
                self._say_all(verification, as_json=given["json"])
        except KeyboardInterrupt:
            self.stderr.write("verify_runs: stopped before the end")
            sys.exit(COULD_NOT_START)
        except HolocronError as error:
            self.stderr.write(f"verify_runs: {error}")
            sys.exit(COULD_NOT_START)
        sys.exit(FAULTS if verification.summary.findings else ALL_VERIFY)

    def _check_run(self, selection: RunSelection) -> None:
        if selection.run_id is None:
            return
        status = run_status(selection.run_id)
        if status is None:
            raise HolocronError(f"there is no run {selection.run_id}")
        if status == RunStatus.RUNNING:
            raise HolocronError(f"run {selection.run_id} is still under way: verify it when it has ended")

    def _say_all(self, verification: Verification, *, as_json: bool) -> None:
        orphans_begun = False
        for found in verification.found():
            if not as_json and isinstance(found, Orphan) and not orphans_begun:
                orphans_begun = True
                self.stdout.write("Orphans, which are no faults:")
            self._say(found, as_json=as_json)
        self._say(verification.summary, as_json=as_json)

    def _say(self, thing: Finding | Orphan | VerificationSummary, *, as_json: bool) -> None:
        self.stdout.write(json.dumps(thing.plain()) if as_json else thing.line())


@contextmanager
def _progress(runs: int) -> Iterator[Callable[[VerificationSummary], None]]:
    """Yield what shows a summary as a bar on standard error; without a terminal nothing is shown."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("runs", total=runs, rate="")
        yield lambda summary: progress.update(
            task,
            completed=summary.runs,
            rate=f"{summary.megabytes_per_second:.1f} MB/s {plural(summary.findings, 'fault')}",
        )
