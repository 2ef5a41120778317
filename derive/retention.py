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

from derive.contracts import DeletionTry
from derive.errors import HolocronError, LakeError, LakePathRefused, LakeUnavailable
from derive.lake import Lake
from derive.lake_identity import open_own_lake
from derive.lake_stores.paths import is_run_folder
from derive.models import Artifact, Job, LakeDeletion, Run
from derive.queue import JobQueue
from derive.sealing.chain import seal_history
from derive.sealing.document import SealDocument
from derive.sql.clock import database_now
from derive.sql.reading import reading
from derive.states import ENDED, LIVE, JobStatus
from derive.strict_types import EARLIEST

BATCH_JOBS = 100
"""Jobs per transaction: some thousand rows, locked for some hundredths of a second."""
BATCH_FILES = 500
COUNTING_STEPS = 10
"""Roll-up transactions between two calls of ``on_batch``."""
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
    on_batch: OnBatch = lambda _: None,
    on_seal: Callable[[SealDocument], object] = lambda _: None,
    lake: Lake | None = None,
) -> PurgeReport:
    """Purge jobs that ended longer ago than their state's age; states without an age are kept.

    ``max_rows`` limits the jobs of this call (None: no limit); a dry run only counts. Held jobs, live jobs and jobs
    that a live one will repeat are never purged. Files are deleted after the rows, those of earlier purges first; files
    that cannot be deleted are retried next time. ``on_seal`` receives each seal of the history, which comes first and
    may take long.

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
    sealed = seal_history(lake, on_seal=on_seal)
    if not sealed.is_settled:
        raise HistoryUnsettled(
            "nothing was purged: an open transaction prevents sealing the history; end it, or try again later"
        )
    settled_utc = sealed.settled_utc
    _count_hours(report, on_batch=on_batch)
    _purge_rows(ages, settled_utc, report, actor=actor, reason=reason, max_rows=max_rows, on_batch=on_batch)
    delete_files(lake, report, on_batch=on_batch)
    if report.jobs:
        try:
            seal_history(lake)
        except LakeUnavailable as error:
            # The tombstones are sealed by the next sealing.
            report.last_error = str(error)
    return report


def _count_rows(
    ages: Mapping[JobStatus, timedelta], now_utc: datetime, report: PurgeReport, *, max_rows: int | None
) -> None:
    """Count what a purge would delete, by the same conditions.

    With ``max_rows``, the files of all old jobs are counted.
    """
    to_be_repeated = Job.objects.filter(status__in=sorted(LIVE), repeats_run_id__isnull=False).values("repeats_run_id")
    for status, age in sorted(ages.items()):
        jobs = Job.objects.filter(status=status, finished_utc__lt=now_utc - age, hold_utc__isnull=True).exclude(
            runs__run_id__in=to_be_repeated
        )
        files = Artifact.objects.filter(run__job__in=jobs)
        count, file_count = reading(lambda jobs=jobs, files=files: (jobs.count(), files.count()))  # type: ignore[misc]  # bound early
        report.jobs[status] += count if max_rows is None else min(count, max_rows - report.job_count)
        report.files += file_count


def _count_hours(report: PurgeReport, *, on_batch: OnBatch) -> None:
    """Roll up the statistics, since jobs that are not counted cannot be purged."""
    queue = JobQueue()
    while answer := queue.roll_up_hours(max_steps=COUNTING_STEPS):
        if answer.is_caught_up or not answer.events:
            return
        on_batch(report)


def _purge_rows(
    ages: Mapping[JobStatus, timedelta],
    now_utc: datetime,
    report: PurgeReport,
    *,
    actor: str,
    reason: str | None,
    max_rows: int | None,
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


def delete_files(lake: Lake, report: PurgeReport, *, on_batch: OnBatch = lambda _: None) -> None:
    """Delete the files that purges left, and record the results; raises QueueError.

    Stops if the lake as a whole is unavailable: the rest is left for the next purge.
    """
    queue = JobQueue()
    for batch in _open_deletions():
        tries, is_lake_away = _delete_batch(lake, batch)
        queue.record_lake_deletions(tries)
        failed = [one.error for one in tries if one.error is not None]
        report.files_deleted += len(tries) - len(failed)
        report.files_waiting += len(failed)
        report.last_error = failed[-1] if failed else report.last_error
        on_batch(report)
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


def _delete_batch(lake: Lake, batch: list[Any]) -> tuple[list[DeletionTry], bool]:
    """Delete the folders of a batch, each once; return each row's result, and whether the lake is unavailable."""
    run_ids = {row.run_id for row in batch}
    alive = reading(lambda: set(Run.objects.filter(run_id__in=run_ids).values_list("run_id", flat=True)))
    errors: dict[str, str | None] = {}
    tries: list[DeletionTry] = []
    for row in batch:
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
