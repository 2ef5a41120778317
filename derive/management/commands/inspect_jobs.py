"""``manage.py inspect_jobs``: shows jobs as tables, or as JSON for programs."""

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from derive.errors import HolocronError
from derive.inspection import COUNT_CAP, count_states, list_jobs, read_job_history
from derive.management.quick_command import QuickCommand
from derive.states import JobStatus

FOUND, NO_SUCH_JOB, COULD_NOT_START = 0, 1, 2
MAX_LISTED = 1_000
EXAMPLES = """
examples:
  manage.py inspect_jobs --list --status FAILED --limit 50
  manage.py inspect_jobs --job-id 6f1c2a4e-5a0e-4c7e-9a53-2b1d6c1f8e11
  manage.py inspect_jobs --stats --json

exit codes: 0 found, 1 no such job, 2 could not start
"""


def _limit(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MAX_LISTED:
        raise ArgumentTypeError(f"{text!r} is not a number from 1 to {MAX_LISTED}")
    return int(text)


def _job_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a job id") from None


class Command(QuickCommand):
    """Show jobs, one job's full history, or counts by state. Read-only."""

    help = "Shows the latest jobs, the full history of one job, or the number of jobs in each state."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--list", action="store_true", help="the latest jobs, newest first")
        what.add_argument("--job-id", metavar="ID", help="one job with its runs, events and artifacts")
        what.add_argument("--stats", action="store_true", help=f"jobs in each state, counted up to {COUNT_CAP}")
        parser.add_argument(
            "--status",
            type=str.upper,
            choices=[status.value for status in JobStatus],
            help="list only jobs in this state",
        )
        parser.add_argument(
            "--part-of",
            type=_job_id,
            metavar="ID",
            help="list the parts of this job; the list leaves parts out otherwise",
        )
        parser.add_argument(
            "--limit", type=_limit, default=20, metavar="N", help="list at most N (default: %(default)s)"
        )
        parser.add_argument(
            "--json", action="store_true", help="print one line of JSON; JSON columns stay text, as stored"
        )

    def handle(self, *_args: Any, **given: Any) -> None:
        """Look and exit with the code."""
        try:
            sys.exit(self._look(given))
        except HolocronError as error:
            self.stderr.write(f"inspect_jobs: {str(error).strip().partition(chr(10))[0]}")
            sys.exit(COULD_NOT_START)

    def _look(self, given: dict[str, Any]) -> int:
        if given["job_id"] is not None:
            return self._look_at_job(given)
        if given["list"]:
            status = JobStatus(given["status"]) if given["status"] else None
            jobs = list_jobs(status=status, limit=given["limit"], part_of=given["part_of"])
            if given["json"]:
                self._write_json(jobs)
            else:
                from derive.management.job_tables import show_jobs  # they draw with rich

                show_jobs(jobs)
            return FOUND
        counts = count_states()
        if given["json"]:
            self._write_json({
                "counts": {count.status.value: count.count for count in counts},
                "capped": [count.status.value for count in counts if count.capped],
            })  # fmt: skip
        else:
            from derive.management.job_tables import show_counts

            show_counts(counts)
        return FOUND

    def _look_at_job(self, given: dict[str, Any]) -> int:
        try:
            story = read_job_history(UUID(given["job_id"]))
        except ValueError:
            story = None
        if story is None:
            self.stderr.write(f"inspect_jobs: no such job: {given['job_id'][:100]}")
            return NO_SUCH_JOB
        if given["json"]:
            self._write_json(asdict(story))
        else:
            from derive.management.job_tables import show_story

            show_story(story)
        return FOUND

    def _write_json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, ensure_ascii=False, default=_as_json))


def _as_json(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)
