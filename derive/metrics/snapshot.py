"""All of the queue's numbers at one time."""

from dataclasses import dataclass

from derive.model_status import ModelStatuses, read_model_statuses
from derive.schedules.health import SchedulerHealth, scheduler_health
from derive.sql.clock import database_now
from derive.sql.depths import Depth, WorkersAlive, read_depths, read_workers_alive
from derive.sql.totals import Totals, TotalsReader, read_counted_until
from derive.states import JobStatus


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All numbers of one time (``read_at``, seconds). Totals cover events older than ``counted_seconds_ago``."""

    read_at: float
    depths: tuple[Depth, ...]
    workers: WorkersAlive
    scheduler: SchedulerHealth
    totals: Totals
    counted_seconds_ago: float | None
    models: ModelStatuses


class SnapshotReader:
    """Reads a snapshot with some twenty bounded queries. Raises QueueError."""

    def __init__(self) -> None:
        self._totals = TotalsReader()

    def read(self, now: float) -> Snapshot:
        """Read the current numbers."""
        counted_until = read_counted_until()
        age = None if counted_until is None else max(0.0, (database_now() - counted_until).total_seconds())
        return Snapshot(
            read_at=now,
            depths=tuple(depth for status in JobStatus for depth in read_depths(status)),
            workers=read_workers_alive(),
            scheduler=scheduler_health(),
            totals=self._totals.read(),
            counted_seconds_ago=age,
            models=read_model_statuses(),
        )
