"""Retention: deletes old ended jobs with all their rows, then their files; keeps held and live jobs.

Nothing is purged unsealed: the history is sealed first, and each purged job leaves a ``purged`` event that is sealed
later. ``verify_audit`` reports missing rows without such an event. Jobs that the hourly statistics have not counted are
not purged.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import Q

from derive.contracts import DeletionTry
from derive.deadline import NO_DEADLINE, Deadline
from derive.errors import HolocronError, LakeError, LakePathRefused, LakeUnavailable
from derive.lake import Lake
from derive.lake_identity import open_own_lake
from derive.lake_stores.paths import is_run_folder
from derive.models import Artifact, Job, LakeDeletion, Run
from derive.queue import JobQueue
from derive.sealing.chain import seal_history
from derive.sql.clock import database_now
from derive.sql.reading import reading
from derive.states import ENDED, LIVE, JobStatus
from derive.strict_types import EARLIEST

BATCH_JOBS = 100
"""Jobs per transaction: some thousand rows, locked for some hundredths of a second."""
BATCH_FILES = 500
MAX_ERROR_CHARACTERS = 500


class HistoryUnsettled(HolocronError):
    """An open transaction prevented sealing the history; nothing was purged."""


@dataclass
class PurgeReport:
    """What a purge did or would do; passed to ``on_batch`` after each batch."""

    dry_run: bool
    jobs: Counter[JobStatus] = field(default_factory=Counter)
    files: int = 0
    """Files of the purged jobs, as recorded in SQL."""
    files_deleted: int = 0
    """Files deleted from the lake, including those of earlier purges."""
    files_waiting: int = 0
    """Files that could not be deleted; the next purge retries them. ``last_error`` says why."""
    last_error: str | None = None
    is_finished: bool = True
    """False if the deadline stopped it; the next purge continues."""

    @property
    def job_count(self) -> int:
        """Jobs of all states."""
        return self.jobs.total()


OnBatch = Callable[[PurgeReport], None]


def purge(
    *,
    ages: Mapping[JobStatus, timedelta],
    actor: str,
    reason: str | None = None,
    dry_run: bool = False,
    max_rows: int | None = None,
    deadline: Deadline = NO_DEADLINE,
    on_batch: OnBatch = lambda _: None,
    lake: Lake | None = None,
) -> PurgeReport:
    """Purge jobs that ended longer ago than their state's age; states without an age are kept.

    ``max_rows`` limits the jobs of this call (None: no limit); a dry run only counts. Held jobs, live jobs and jobs
    that a live one will repeat are never purged. The history is sealed first and the hours are counted; files are
    deleted after the rows, those of earlier purges first; files that cannot be deleted are retried next time. Once
    ``deadline`` is over, the purge stops after the step it is in, whichever that is, and the report says so.

    Raises HistoryUnsettled, LakeUnavailable (nothing was purged), QueueError, and ValueError for a state that is not an
    end state.
    """
    if not ages.keys() <= ENDED:
        raise ValueError("only ended jobs are purged: SUCCEEDED, FAILED, DEADLETTER, CANCELLED")
    report = PurgeReport(dry_run=dry_run)
    if dry_run:
        _count_rows(ages, database_now(), report, max_rows=max_rows)
        return report
    lake = open_own_lake(settings.LAKE_URL) if lake is None else lake
    sealed = seal_history(lake, deadline=deadline)
    if not sealed.is_finished:
        report.is_finished = False
        return report
    if not sealed.is_settled:
        raise HistoryUnsettled(
            "nothing was purged: an open transaction prevents sealing the history; end it, or try again later"
        )
    is_over = sealed.seals > 0 and deadline.is_over
    if is_over or not _count_hours(report, deadline=deadline, on_batch=on_batch):
        report.is_finished = False
        return report
    _purge_rows(
        ages,
        sealed.settled_utc,
        report,
        actor=actor,
        reason=reason,
        max_rows=max_rows,
        deadline=deadline,
        on_batch=on_batch,
    )
    if report.is_finished:
        delete_files(lake, report, deadline=deadline, on_batch=on_batch)
    if report.jobs and not deadline.is_over:
        try:
            seal_history(lake)
        except LakeUnavailable as error:
            # The tombstones are sealed by the next sealing.
            report.last_error = str(error)
    return report


def _count_rows(
    ages: Mapping[JobStatus, timedelta], now_utc: datetime, report: PurgeReport, *, max_rows: int | None
) -> None:
    """Count what a purge would delete, by the same conditions and, with ``max_rows``, in the same order."""
    to_be_repeated = Job.objects.filter(status__in=sorted(LIVE), repeats_run_id__isnull=False).values("repeats_run_id")
    for status, age in sorted(ages.items()):
        kept = Job.objects.filter(parent_job_id__isnull=False).filter(
            Q(hold_utc__isnull=False) | Q(runs__run_id__in=to_be_repeated)
        )
        jobs = (
            Job.objects.filter(status=status, finished_utc__lt=now_utc - age, hold_utc__isnull=True)
            .filter(parent_job_id__isnull=True)
            .exclude(runs__run_id__in=to_be_repeated)
            .exclude(job_id__in=kept.values("parent_job_id"))
        )
        if max_rows is not None:
            jobs = jobs.order_by("finished_utc", "job_seq")[: max_rows - report.job_count]
        # Parts go with their jobs.
        parts = Job.objects.filter(parent_job_id__in=jobs.values("job_id"))
        files = Artifact.objects.filter(run__job__in=jobs.values("job_id"))
        of_parts = Artifact.objects.filter(run__job__in=parts.values("job_id"))
        counts = [jobs.count, parts.count, files.count, of_parts.count]
        whole, in_parts, *file_counts = reading(lambda counts=counts: [int(count()) for count in counts])  # type: ignore[misc]  # bound early
        count, file_count = whole + in_parts, sum(file_counts)
        report.jobs[status] += count
        report.files += file_count


def _count_hours(report: PurgeReport, *, deadline: Deadline, on_batch: OnBatch) -> bool:
    """Roll up the statistics, since jobs that are not counted cannot be purged; return whether that was finished."""
    queue = JobQueue()
    while answer := queue.roll_up_hours(max_steps=1):
        if answer.is_caught_up or not answer.events:
            break
        on_batch(report)
        if deadline.is_over:
            return False
    return True


def _purge_rows(
    ages: Mapping[JobStatus, timedelta],
    now_utc: datetime,
    report: PurgeReport,
    *,
    actor: str,
    reason: str | None,
    max_rows: int | None,
    deadline: Deadline,
    on_batch: OnBatch,
) -> None:
    queue = JobQueue()
    for status, age in sorted(ages.items()):
        while max_rows is None or report.job_count < max_rows:
            wanted = BATCH_JOBS if max_rows is None else min(BATCH_JOBS, max_rows - report.job_count)
            rows = queue.purge(
                finished_before_utc=max(now_utc - age, EARLIEST),
                statuses=[status],
                actor=actor,
                max_rows=wanted,
                reason=reason,
            )
            jobs = len({row.job_id for row in rows})
            report.jobs[status] += jobs
            report.files += sum(row.lake_uri is not None for row in rows)
            if not jobs:
                break
            on_batch(report)
            if deadline.is_over:
                report.is_finished = False
                return


def delete_files(
    lake: Lake,
    report: PurgeReport,
    *,
    deadline: Deadline = NO_DEADLINE,
    on_batch: OnBatch = lambda _: None,
) -> None:
    """Delete the files that purges left, and record the results; raises QueueError.

    Stops once the deadline is over, after at least one file, and if the lake as a whole is unavailable: the rest is
    left for the next purge.
    """
    queue = JobQueue()
    tries: list[DeletionTry] = []
    for batch in _open_deletions():
        if tries and deadline.is_over:
            report.is_finished = False
            return
        tries, is_lake_away = _delete_batch(lake, batch, deadline)
        queue.record_lake_deletions(tries)
        failed = [one.error for one in tries if one.error is not None]
        report.files_deleted += len(tries) - len(failed)
        report.files_waiting += len(failed)
        report.last_error = failed[-1] if failed else report.last_error
        on_batch(report)
        if len(tries) < len(batch) and not is_lake_away:
            report.is_finished = False
            return
        if is_lake_away:
            report.files_waiting = reading(lambda: LakeDeletion.objects.filter(deleted_utc__isnull=True).count())
            return


def _open_deletions() -> Iterator[list[Any]]:
    """Yield pending deletions in batches; failed ones are not repeated."""
    after = 0
    while True:
        rows = LakeDeletion.objects.filter(deleted_utc__isnull=True, deletion_seq__gt=after).order_by("deletion_seq")
        batch = reading(lambda rows=rows: list(rows[:BATCH_FILES]))  # type: ignore[misc]  # bound early
        if not batch:
            return
        yield batch
        after = batch[-1].deletion_seq


def _delete_batch(lake: Lake, batch: list[Any], deadline: Deadline) -> tuple[list[DeletionTry], bool]:
    """Delete the folders of a batch, each once; return each row's result, and whether the lake is unavailable.

    Once the deadline is over, the remaining rows have no result.
    """
    run_ids = {row.run_id for row in batch}
    alive = reading(lambda: set(Run.objects.filter(run_id__in=run_ids).values_list("run_id", flat=True)))
    errors: dict[str, str | None] = {}
    tries: list[DeletionTry] = []
    for row in batch:
        if tries and deadline.is_over:
            break
        folder = row.lake_uri if is_run_folder(row.lake_uri) else row.lake_uri.rpartition("/")[0]
        if folder not in errors:
            try:
                _delete_folder(lake, folder, row, is_alive=row.run_id in alive)
                errors[folder] = None
            except LakeUnavailable as error:
                tries.append(_tried(row, str(error)))
                return tries, True
            except LakeError as error:
                errors[folder] = str(error)
        tries.append(_tried(row, errors[folder]))
    return tries, False


def _delete_folder(lake: Lake, folder: str, row: Any, *, is_alive: bool) -> None:
    """Delete a run's folder if it belongs to that run and the run is purged: a row alone proves neither."""
    if folder.rpartition("/")[2] != str(row.run_id):
        raise LakePathRefused(f"{folder[:200]!a} is not the folder of run {row.run_id}; it was not touched")
    if is_alive:
        raise LakePathRefused(f"run {row.run_id} is still in SQL; its folder was not touched")
    lake.delete_folder(folder)


def _tried(row: Any, error: str | None) -> DeletionTry:
    return DeletionTry(deletion_seq=row.deletion_seq, error=None if error is None else error[:MAX_ERROR_CHARACTERS])
