"""``manage.py purge``: deletes old ended jobs from SQL, and then their files from the lake."""

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from datetime import timedelta
from getpass import getuser
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db import connection

from derive.errors import HolocronError
from derive.management.quick_command import QuickCommand
from derive.management.times import age
from derive.plural import plural
from derive.sql.scripts import check_schema
from derive.states import ENDED, JobStatus

if TYPE_CHECKING:
    from derive.retention import PurgeReport

DONE, FILES_WAIT, COULD_NOT_START = 0, 1, 2
EXAMPLES = """
examples:
  manage.py purge --succeeded 365d --failed 90d --deadletter 90d --cancelled 30d --dry-run
  manage.py purge --succeeded 365d --reason "retention policy 4"
  manage.py purge --all 730d --max-jobs 10000 --reason "disk is full" --yes
  manage.py purge                              only deletes lake files left over from earlier purges

Ages count from the end of the job; jobs in a state without an age are kept. Held jobs, live jobs and jobs that a live
job will repeat are always kept. The history is sealed first, and one event per purged job is kept for verify_audit.
At a terminal the command shows what it would purge and asks first, unless --yes is given.
exit codes: 0 done, 1 some lake files are left for the next purge, 2 error
"""


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a number of jobs")
    return int(text)


class Command(QuickCommand):
    """Purge jobs and their files, and print how many."""

    help = "Purges jobs that ended long ago, with their runs, events and files."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        for status in sorted(ENDED):
            parser.add_argument(
                f"--{status.lower()}", type=age, metavar="AGE", help=f"purge {status} jobs older than this"
            )
        parser.add_argument("--all", type=age, metavar="AGE", help="age for the states not given one")
        parser.add_argument("--max-jobs", type=_count, metavar="N", help="at most this many, the oldest first")
        parser.add_argument("--dry-run", action="store_true", help="show what would be purged, and change nothing")
        parser.add_argument("--actor", default=None, help="name recorded as purging (default: this OS user)")
        parser.add_argument(
            "--reason", default=None, help="saved to each purged job's tombstone event; required to purge jobs"
        )
        parser.add_argument("--yes", action="store_true", help="do not ask for confirmation")
        parser.add_argument("--json", action="store_true", help="print one line of JSON")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Purge, and exit with the code."""
        from derive.retention import PurgeReport, purge

        ages = _ages(given)
        if given["dry_run"] and not ages:
            raise CommandError("a dry run needs an age, such as --succeeded 365d", returncode=COULD_NOT_START)
        if ages and not given["dry_run"] and not (given["reason"] or "").strip():
            raise CommandError(
                "give a --reason: it stays in the audit when the jobs are gone", returncode=COULD_NOT_START
            )

        def run(*, dry_run: bool) -> PurgeReport:
            return purge(
                ages=ages,
                actor=given["actor"] or getuser(),
                reason=given["reason"],
                dry_run=dry_run,
                max_rows=given["max_jobs"],
            )

        try:
            check_schema(connection)
            if ages and not given["dry_run"] and not given["yes"] and sys.stdin.isatty():
                self._confirm(run(dry_run=True))
            report = run(dry_run=given["dry_run"])
        except KeyboardInterrupt:
            self.stderr.write("purge: stopped early; run it again to continue")
            sys.exit(COULD_NOT_START)
        except HolocronError as error:
            self.stderr.write(f"purge: {error}")
            sys.exit(COULD_NOT_START)
        self.stdout.write(json.dumps(_plain(report)) if given["json"] else _line(report))
        if report.last_error is not None:
            self.stderr.write(f"purge: {report.last_error}")
        sys.exit(FILES_WAIT if report.files_waiting else DONE)

    def _confirm(self, found: "PurgeReport") -> None:
        """Show what would be purged; exit if the answer is not yes."""
        self.stderr.write(_line(found))
        self.stderr.write("Purge them permanently? [y/N] ", ending="")
        self.stderr.flush()
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            self.stderr.write("purge: nothing was purged")
            sys.exit(COULD_NOT_START)


def _ages(given: dict[str, Any]) -> dict[JobStatus, timedelta]:
    ages = {status: given[status.lower()] if given[status.lower()] is not None else given["all"] for status in ENDED}
    return {status: age for status, age in ages.items() if age is not None}


def _line(report: "PurgeReport") -> str:
    jobs = ", ".join(f"{count} {status}" for status, count in sorted(report.jobs.items()) if count) or "none"
    if report.dry_run:
        return f"would purge {plural(report.job_count, 'job')} ({jobs}) with {plural(report.files, 'file')}"
    return (
        f"purged {plural(report.job_count, 'job')} ({jobs}) with {plural(report.files, 'file')}; "
        f"{report.files_deleted} deleted from the lake, {report.files_waiting} left"
    )


def _plain(report: "PurgeReport") -> dict[str, Any]:
    return {
        "dry_run": report.dry_run,
        "jobs": {status.value: count for status, count in sorted(report.jobs.items())},
        "files": report.files,
        "files_deleted": report.files_deleted,
        "files_waiting": report.files_waiting,
    }
