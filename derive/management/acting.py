"""Runs the commands that act on jobs; exit codes as in ``job_options``. The actions are the admin's own."""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC
from getpass import getuser
from typing import Any

from django.core.management.base import CommandError, OutputWrapper
from django.db import connection
from django.http import QueryDict
from django.utils import timezone

from derive.admin.jobs.bulk.actions import ACTIONS, Action, Confirmed, ConfirmForm
from derive.admin.jobs.filters import JobFilter
from derive.admin.lists.saved_views import PARAM
from derive.contracts import JobRef
from derive.errors import HolocronError
from derive.management.job_options import FILTERS
from derive.models import Job
from derive.plural import plural
from derive.queue import CHANGE_BATCH, JobQueue
from derive.sql.reading import reading
from derive.sql.scripts import check_schema
from derive.states import JobStatus

DONE, REFUSED, COULD_NOT_GO_ON = 0, 1, 2


@dataclass
class ActingReport:
    """What became of the jobs that matched."""

    action: str
    dry_run: bool
    matched: int = 0
    changed: int = 0
    """In a dry run, those that would be changed."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Jobs the action does not suit, by state."""
    refused: Counter[str] = field(default_factory=Counter)
    """Jobs the database refused, by the reason it gave."""

    @property
    def line(self) -> str:
        """The report as a line of text."""
        verb = "would change" if self.dry_run else "changed"
        parts = [f"{self.action}: {verb} {self.changed:,} of {plural(self.matched, 'matching job')}"]
        parts += [f"{count:,} {state} skipped" for state, count in sorted(self.skipped.items())]
        parts += [f"{count:,} refused: {why}" for why, count in self.refused.most_common()]
        return "; ".join(parts)


def act(name: str, given: dict[str, Any], *, value: str = "", stdout: OutputWrapper, stderr: OutputWrapper) -> int:
    """Act on the jobs that the options select, and print the report; return the exit code."""
    action, report = ACTIONS[name], ActingReport(name, given["dry_run"])
    code = DONE
    by = _confirmed(action, given, value)
    chosen = _chosen(given)
    try:
        check_schema(connection)
        for jobs in _batches(chosen, given):
            _act_on(action, jobs, by, report)
        code = REFUSED if report.refused else DONE
    except KeyboardInterrupt:
        stderr.write(f"{name}: stopped early; what is reported was done")
        code = COULD_NOT_GO_ON
    except HolocronError as error:
        stderr.write(f"{name}: {str(error).strip().partition(chr(10))[0]}")
        code = COULD_NOT_GO_ON
    if code != COULD_NOT_GO_ON or report.matched:
        stdout.write(json.dumps(vars(report)) if given["json"] else report.line)
    return code


def run(name: str, given: dict[str, Any], *, value: str = "", stdout: OutputWrapper, stderr: OutputWrapper) -> None:
    """Act, and exit with the code."""
    sys.exit(act(name, given, value=value, stdout=stdout, stderr=stderr))


def _confirmed(action: Action, given: dict[str, Any], value: str) -> Confirmed:
    """Return who acts, why and with which value, by the rules of the admin's form; raise CommandError."""
    reason = given["reason"] or ("dry run" if given["dry_run"] else "")
    form = ConfirmForm(action, {"reason": reason, "value": value})
    for why in (str(why) for reasons in form.errors.values() for why in reasons):
        raise CommandError(f"{action.name}: {why}", returncode=COULD_NOT_GO_ON)
    confirmed = form.cleaned_data
    return Confirmed(actor=given["actor"] or getuser(), reason=confirmed["reason"], value=confirmed.get("value"))


def _chosen(given: dict[str, Any]) -> JobFilter:
    """Return the filter of the options; raise CommandError if it is invalid, or if nothing says which jobs.

    Times are read in UTC, like those of every command, whatever zone the server is in.
    """
    query = QueryDict(given["filter"] or "", mutable=True)
    # A query copied from the list's address may name a view, whose filters stand beside it.
    query.pop(PARAM, None)
    if unknown := query.keys() - JobFilter.base_fields.keys():
        raise CommandError(f"--filter: there is no filter {sorted(unknown)[0]!r}", returncode=COULD_NOT_GO_ON)
    for option, (name, _metavar, _help) in FILTERS.items():
        if (typed := given[option.replace("-", "_")]) is not None:
            query[name] = typed
    with timezone.override(UTC):
        chosen = JobFilter(query)
    if chosen.problems:
        raise CommandError("; ".join(chosen.problems), returncode=COULD_NOT_GO_ON)
    if not chosen.is_set and not given["job"] and not given["all"]:
        raise CommandError("say which jobs, or --all", returncode=COULD_NOT_GO_ON)
    return chosen


def _batches(chosen: JobFilter, given: dict[str, Any]) -> Iterator[list[Any]]:
    """Yield the matching jobs, newest first, of those named if any are."""
    named = set(given["job"])
    if named and not chosen.is_set:
        yield reading(lambda: list(_rows().filter(job_id__in=named)))
        return
    walk = chosen.walk()
    start = reading(walk.start)
    if not start:
        return
    for page in walk.batches(rows=CHANGE_BATCH, start=start):
        rows = reading(lambda page=page: list(_rows().filter(job_seq__in=page.sequences)))  # type: ignore[misc]  # bound early
        yield [job for job in rows if not named or job.job_id in named]


def _rows() -> Any:
    return Job.objects.order_by("-job_seq").only("job_id", "status", "hold_utc")


def _act_on(action: Action, jobs: list[Any], by: Confirmed, report: ActingReport) -> None:
    report.matched += len(jobs)
    suited = [job for job in jobs if action.suits(job)]
    report.skipped.update(job.status for job in jobs if not action.suits(job))
    if report.dry_run or not suited:
        report.changed += len(suited)
        return
    refs = [JobRef.model_construct(job_id=job.job_id, expected_status=JobStatus(job.status)) for job in suited]
    for change in action.act(JobQueue(), refs, by):
        if change.changed:
            report.changed += 1
        else:
            report.refused[change.why or "refused"] += 1
