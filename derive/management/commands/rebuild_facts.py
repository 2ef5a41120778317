"""``manage.py rebuild_facts``: stores facts of runs older than the facts table, or judges again."""

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from getpass import getuser
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection

from derive.errors import HolocronError
from derive.management.quick_command import QuickCommand
from derive.management.times import moment
from derive.plural import plural
from derive.sql.scripts import check_schema

if TYPE_CHECKING:
    from derive.fact_rebuilding import RebuildReport

DONE, SOME_FAILED, COULD_NOT_START = 0, 1, 2
_EXAMPLES = """
examples:
  manage.py rebuild_facts --dry-run              show what would be stored
  manage.py rebuild_facts                        store the facts of every SUCCEEDED run that has none
  manage.py rebuild_facts --since 30d --limit 10000
  manage.py rebuild_facts --again                also judge stored facts again, for example after the rules changed

Each run's facts are built from its evidence.json and output.json, whose hashes must match SQL, and stored in one
transaction. Interrupted, it resumes when run again. Ids and reviews of unchanged facts are kept.
exit codes: 0 done, 1 the facts of some runs could not be built (each is listed), 2 error
"""


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a number of runs")
    return int(text)


class Command(QuickCommand):
    """Rebuild the facts of earlier runs, and list the runs for which that failed."""

    help = "Rebuilds the facts of earlier runs from their rows in SQL and their files in the lake."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = _EXAMPLES
        parser.add_argument(
            "--since",
            type=moment,
            metavar="T",
            help="runs started at or after T: an ISO time (UTC unless it names a zone), 24h, 7d",
        )
        parser.add_argument("--limit", type=_count, metavar="N", help="at most this many runs, the oldest first")
        parser.add_argument("--again", action="store_true", help="include runs whose facts are already stored")
        parser.add_argument("--dry-run", action="store_true", help="show the verdicts, store nothing")
        parser.add_argument("--actor", default=None, help="name recorded as storing them (default: this OS user)")
        parser.add_argument("--json", action="store_true", help="print one line of JSON")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Rebuild, and exit with the code."""
        from derive.fact_rebuilding import RebuildSelection, count_to_rebuild, rebuild_facts
        from derive.lake import Lake
        from derive.lake_identity import check_lake_identity

        selection = RebuildSelection(since=given["since"], limit=given["limit"], again=given["again"])
        try:
            check_schema(connection)
            lake = Lake.open(settings.LAKE_URL)
            check_lake_identity(lake)
            with _progress(count_to_rebuild(selection)) as show:
                report = rebuild_facts(
                    lake,
                    selection,
                    actor=given["actor"] or getuser(),
                    dry_run=given["dry_run"],
                    on_progress=show,
                )
        except KeyboardInterrupt:
            self.stderr.write("rebuild_facts: stopped early; run it again to continue")
            sys.exit(COULD_NOT_START)
        except HolocronError as error:
            self.stderr.write(f"rebuild_facts: {error}")
            sys.exit(COULD_NOT_START)
        for run_id, why in report.failed:
            self.stderr.write(f"{run_id}: {why}")
        self.stdout.write(
            json.dumps(_plain(report, given["dry_run"])) if given["json"] else _line(report, given["dry_run"])
        )
        sys.exit(SOME_FAILED if report.failed else DONE)


def _line(report: "RebuildReport", dry_run: bool) -> str:  # noqa: FBT001 - the command's own option
    did = "would store" if dry_run else "stored"
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(report.verdicts.items())) or "none"
    return (
        f"{did} {plural(report.facts, 'fact')} ({verdicts}) of {plural(report.runs - len(report.failed), 'run')}; "
        f"{plural(len(report.failed), 'run')} could not be judged"
    )


def _plain(report: "RebuildReport", dry_run: bool) -> dict[str, Any]:  # noqa: FBT001 - the command's own option
    return {
        "dry_run": dry_run,
        "runs": report.runs,
        "facts": report.facts,
        "verdicts": dict(report.verdicts),
        "failed": [{"run_id": str(run_id), "why": why} for run_id, why in report.failed],
    }


@contextmanager
def _progress(runs: int) -> "Iterator[Callable[[RebuildReport], None]]":
    """Yield a function that shows a report as a progress bar on standard error; without a terminal it does nothing."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("runs"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[facts]}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("runs", total=runs, facts="")
        yield lambda report: progress.update(task, completed=report.runs, facts=plural(report.facts, "fact"))
