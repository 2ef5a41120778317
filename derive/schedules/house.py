"""The tasks of the house: what the scheduler may call, and how often it does unless a maintainer says otherwise."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from derive.schedule_models import RecurringInterrogation, RetentionPolicy, RetryPolicy
from derive.schedules import keeping
from derive.schedules.alone import Deadline, Told, run_alone
from derive.schedules.due import run_due
from derive.schedules.recurring import queue_again
from derive.schedules.retaining import delete_purged_files, retain, seal
from derive.schedules.retrying import retry

TASKS_MODULE = "derive.schedules.tasks"
EVERY_MINUTE = "* * * * *"


@dataclass(frozen=True)
class HouseTask:
    """One task. ``seconds`` bounds it; it begins at most once in ``not_within_seconds``, whatever the scheduler does.

    The latter is by the database's clock: a scheduler whose clock jumps, tasks that piled up while nobody worked
    them, or a second scheduler make nothing run more often.
    """

    name: str
    title: str
    what: str
    cron: str
    act: Callable[[Deadline], Told]
    seconds: float
    not_within_seconds: float = 20

    @property
    def func(self) -> str:
        """The dotted path that django-q2 calls it by."""
        return f"{TASKS_MODULE}.{self.name}"

    def run(self) -> str:
        """Run it, if nobody is at it; return what it said."""
        told = run_alone(self.name, self.act, seconds=self.seconds, not_within_seconds=self.not_within_seconds)
        return "" if told is None else told.text


_ALL = (
    HouseTask(
        "reap",
        "Reap expired leases",
        "Ends the runs of workers that went silent, so that their jobs go on. Living workers do the same.",
        EVERY_MINUTE,
        keeping.reap,
        seconds=50,
    ),
    HouseTask(
        "promote",
        "Promote due jobs",
        "Makes scheduled jobs ready whose time has come. Living workers do the same.",
        EVERY_MINUTE,
        keeping.promote,
        seconds=50,
    ),
    HouseTask(
        "retry_policies",
        "Retry policies",
        "Looks for retry policies that are due, and requeues their jobs.",
        EVERY_MINUTE,
        partial(run_due, RetryPolicy, retry),
        seconds=240,
    ),
    HouseTask(
        "recurring_interrogations",
        "Recurring interrogations",
        "Looks for recurring interrogations that are due, and queues their jobs.",
        EVERY_MINUTE,
        partial(run_due, RecurringInterrogation, queue_again),
        seconds=240,
    ),
    HouseTask(
        "retention_policies",
        "Retention policies",
        "Looks for retention policies that are due, and purges what is old enough.",
        EVERY_MINUTE,
        partial(run_due, RetentionPolicy, retain),
        seconds=240,
    ),
    HouseTask(
        "delete_purged_files",
        "Delete purged jobs' files",
        "Deletes from the lake what a purge could not.",
        "40 * * * *",
        delete_purged_files,
        seconds=240,
    ),
    HouseTask(
        "seal",
        "Seal the history",
        "Hashes what happened into the chain, whose documents stand in the lake.",
        "20 * * * *",
        seal,
        seconds=240,
    ),
    HouseTask(
        "roll_up",
        "Roll up statistics",
        "Counts what happened by the hour, for the dashboard. Living workers do the same.",
        "*/5 * * * *",
        keeping.roll_up,
        seconds=120,
    ),
    HouseTask(
        "verify_sample",
        "Verify a sample",
        "Checks some of the newest runs, chosen by chance: bytes, rows, prompts and answers against each other.",
        "30 3 * * *",
        keeping.verify_sample,
        seconds=300,
        not_within_seconds=600,
    ),
    HouseTask(
        "tidy",
        "Tidy up",
        "Removes old rows of the schedules' own tables.",
        "45 3 * * *",
        keeping.tidy,
        seconds=120,
        not_within_seconds=600,
    ),
)
HOUSE = {task.name: task for task in _ALL}
FUNCS = frozenset(task.func for task in _ALL)
"""All that the scheduler may call."""
