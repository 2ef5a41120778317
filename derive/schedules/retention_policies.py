"""Retention policies: purge old ended jobs from SQL, then from the lake; and seal the history."""

from datetime import datetime, timedelta

from django.conf import settings

from derive.alerts.verifications import HISTORY, record_verification
from derive.deadline import Deadline
from derive.lake_identity import open_own_lake
from derive.models import Job
from derive.models.schedules import RetentionPolicy
from derive.plural import plural
from derive.retention import PurgeReport, delete_files, purge
from derive.schedules.single_flight import TaskOutcome, TaskResult
from derive.sealing.chain import ChainBroken, seal_history
from derive.sql.clock import database_now
from derive.sql.reading import reading
from derive.states import ENDED, JobStatus

COUNT_TO = 10_000
MOST_JOBS = 100_000
"""The most jobs that one policy purges per run."""
OUT_OF_TIME = "; out of time, the rest wait for the next run"


def ages_of(policy: RetentionPolicy) -> dict[JobStatus, timedelta]:
    """Return the minimum age of each state's jobs; states without an age are kept."""
    days = {status: getattr(policy, f"{status.lower()}_days") for status in sorted(ENDED)}
    return {status: timedelta(days=number) for status, number in days.items() if number is not None}


def count_old(policy: RetentionPolicy) -> tuple[int, bool]:
    """Return how many jobs are old enough now (up to 10,000), and whether that is exact.

    Counts jobs that a live one will repeat, although they are kept.
    """
    now, found = database_now(), 0
    for status, age in ages_of(policy).items():
        old = Job.objects.filter(status=status, finished_utc__lt=now - age, hold_utc__isnull=True)
        old = old.filter(parent_job_id__isnull=True)
        found += reading(old[: COUNT_TO + 1 - found].count)
        if found > COUNT_TO:
            return COUNT_TO, False
    return found, True


def retain(policy: RetentionPolicy, _due_utc: datetime, deadline: Deadline) -> TaskResult:
    """Purge the policy's old jobs; the history is sealed first."""
    report = purge(
        ages=ages_of(policy),
        actor=policy.actor,
        reason=f"retention policy {policy.name}",
        max_rows=min(policy.max_jobs, MOST_JOBS),
        deadline=deadline,
    )
    if report.is_finished and report.last_error is None and not report.job_count and not report.files_deleted:
        return TaskResult(TaskOutcome.IDLE, "no job was old enough")
    return _result(report)


def delete_purged_files(deadline: Deadline) -> TaskResult:
    """Delete lake files that earlier purges left."""
    report = PurgeReport(dry_run=False)
    delete_files(open_own_lake(settings.LAKE_URL), report, deadline=deadline)
    is_idle = report.last_error is None and not report.files_deleted
    return TaskResult(TaskOutcome.IDLE) if is_idle else _result(report)


def _result(report: PurgeReport) -> TaskResult:
    counted = f"{plural(report.job_count, 'job')} purged, {plural(report.files_deleted, 'file')} deleted from the lake"
    if report.last_error is not None:
        return TaskResult(TaskOutcome.FAILED, f"{counted}; {report.files_waiting} wait: {report.last_error}")
    return TaskResult(TaskOutcome.DONE, counted if report.is_finished else counted + OUT_OF_TIME)


def seal(deadline: Deadline) -> TaskResult:
    """Seal the history as far as it is settled."""
    try:
        report = seal_history(open_own_lake(settings.LAKE_URL), deadline=deadline)
    except ChainBroken:
        record_verification(HISTORY, findings=1, is_whole=False)
        raise
    if not report.is_finished:
        return TaskResult(TaskOutcome.DONE, plural(report.seals, "seal") + OUT_OF_TIME)
    if not report.seals:
        return TaskResult(TaskOutcome.IDLE)
    return TaskResult(TaskOutcome.DONE, f"{plural(report.events, 'event')} sealed; the head is {report.head_line}")
