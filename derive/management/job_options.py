"""The options of the commands that act on jobs: which jobs, by the filters of the admin's list, and why."""

from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from uuid import UUID

FILTERS = {
    "search": ("q", "TEXT", "a job id, run id, entity id or dedupe key"),
    "status": ("status", "STATE", "NEW, SCHEDULED, RUNNING, SPLIT, SUCCEEDED, FAILED, DEADLETTER or CANCELLED"),
    "interrogation": ("interrogation", "KEY", "jobs of this interrogation"),
    "error-kind": ("error_kind", "KIND", "whose last error is of this kind"),
    "model": ("model", "M", "that ask for this model"),
    "entity": ("entity", "ID", "about this entity"),
    "batch": ("batch", "ID", "of this batch"),
    "part-of": ("part_of", "ID", "parts of this job; parts are left out otherwise"),
    "parts": ("parts", "shown", "not only whole jobs, but also parts"),
    "entity-type": ("entity_type", "TYPE", "about this type of entity"),
    "queued-by": ("created_by", "NAME", "queued by this user"),
    "queued-since": (
        "created",
        "T",
        "an ISO time (UTC unless it names a zone), today (since 00:00 UTC), or an age: 24h, 7d",
    ),
    "queued-before": ("created_until", "T", "likewise"),
    "ended-since": ("ended", "T", "likewise"),
    "ended-before": ("ended_until", "T", "likewise"),
}
"""Option, the list's filter, and its help. All given must match."""
EPILOG = """
Jobs that the action does not suit (a succeeded one cannot be requeued) are skipped and counted. Jobs that change in the
meantime are refused and reported. Jobs queued after the command started are left alone.

exit codes: 0 done, even if nothing matched; 1 some jobs were refused; 2 error, nothing or only a part was done
"""


def add_job_options(parser: ArgumentParser, *, examples: str) -> None:
    """Declare which jobs, why, and how to report."""
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.epilog = f"examples:\n{examples}{EPILOG}"
    which = parser.add_argument_group("which jobs (all of the given options must match)")
    for option, (_name, metavar, what) in FILTERS.items():
        which.add_argument(f"--{option}", metavar=metavar, help=what)
    which.add_argument(
        "--filter",
        metavar="QUERY",
        help="the query of the admin's list, such as 'status=FAILED&ended=24h'; its times are read in UTC",
    )
    which.add_argument("--job", type=_job_id, action="append", default=[], metavar="ID", help="may be repeated")
    which.add_argument("--all", action="store_true", help="every job: needed if nothing else says which")
    parser.add_argument("--reason", help="saved to each job's history; required unless --dry-run")
    parser.add_argument("--actor", help="name recorded as acting (default: this OS user)")
    parser.add_argument("--dry-run", action="store_true", help="count the jobs that would be changed, and change none")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")


def _job_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a job id") from None
