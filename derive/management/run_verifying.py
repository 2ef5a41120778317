"""Runs ``manage.py verify_runs`` with parsed options; exit codes as in the command."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management.base import OutputWrapper
from django.db import connection

from derive.alerts.verifications import RUNS, record_verification
from derive.errors import HolocronError
from derive.lake import Lake
from derive.lake_identity import check_lake_identity
from derive.plural import plural
from derive.sql.scripts import check_schema
from derive.states import RunStatus
from derive.verify.checkers import Checkers
from derive.verify.findings import Finding, Orphan, VerificationSummary
from derive.verify.reading import RunSelection, Shard, count_runs, run_status
from derive.verify.verification import Verification

ALL_VERIFY, FAULTS, COULD_NOT_START = 0, 1, 2


class RunVerifying:
    """One call of the command: verifies the selected runs."""

    def __init__(self, *, stdout: OutputWrapper, stderr: OutputWrapper) -> None:
        self.stdout = stdout
        self.stderr = stderr

    def run(self, given: dict[str, Any]) -> int:
        """Verify; return the exit code. Prints errors to standard error."""
        selection = RunSelection(
            since=given["since"], run_id=given["run"], shard=given["shard"] and Shard(*given["shard"])
        )
        try:
            check_schema(connection)
            self._check_run(selection)
            runs = count_runs(selection)
            lake = Lake.open(settings.LAKE_URL)
            # A different lake is one error, instead of a fault per run.
            check_lake_identity(lake)
            checkers = Checkers.fitting(
                settings.LAKE_URL, settings.INTERROGATIONS_FOLDER, quick=given["quick"], runs=runs
            )
            with checkers, _progress(runs) as show:
                verification = Verification(lake, checkers, selection=selection, on_progress=show)
                self._say_all(verification, as_json=given["json"])
        except KeyboardInterrupt:
            self.stderr.write("verify_runs: stopped early")
            return COULD_NOT_START
        except HolocronError as error:
            self.stderr.write(f"verify_runs: {error}")
            return COULD_NOT_START
        is_whole = selection == RunSelection() and not given["quick"]
        record_verification(RUNS, findings=verification.summary.findings, is_whole=is_whole)
        return FAULTS if verification.summary.findings else ALL_VERIFY

    def _check_run(self, selection: RunSelection) -> None:
        if selection.run_id is None:
            return
        if selection.shard is not None:
            raise HolocronError("--run and --shard cannot be used together: a run is one")
        status = run_status(selection.run_id)
        if status is None:
            raise HolocronError(f"there is no run {selection.run_id}")
        if status == RunStatus.RUNNING:
            raise HolocronError(f"run {selection.run_id} is still running: verify it once it has ended")

    def _say_all(self, verification: Verification, *, as_json: bool) -> None:
        orphans_begun = False
        for found in verification.found():
            if not as_json and isinstance(found, Orphan) and not orphans_begun:
                orphans_begun = True
                self.stdout.write("Orphans (not faults):")
            self._say(found, as_json=as_json)
        self._say(verification.summary, as_json=as_json)

    def _say(self, thing: Finding | Orphan | VerificationSummary, *, as_json: bool) -> None:
        self.stdout.write(json.dumps(thing.plain()) if as_json else thing.line())


@contextmanager
def _progress(runs: int) -> Iterator[Callable[[VerificationSummary], None]]:
    """Yield a function that shows a summary as a progress bar on standard error; without a terminal it does nothing."""
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
