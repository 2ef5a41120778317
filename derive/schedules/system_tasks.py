"""System tasks: the functions the scheduler may call, and their default schedules."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from derive.alerts.checking import check_alerts
from derive.deadline import Deadline
from derive.models.schedules import EscalationPolicy, RecurringInterrogation, RetentionPolicy, RetryPolicy
from derive.schedules import maintenance
from derive.schedules.deliveries import deliver_due
from derive.schedules.derivations import apply_due
from derive.schedules.due import run_due
from derive.schedules.escalation import escalate
from derive.schedules.experiments import go_on
from derive.schedules.recurring import queue_again
from derive.schedules.retention_policies import delete_purged_files, retain, seal
from derive.schedules.retry_policies import retry
from derive.schedules.single_flight import TaskResult, run_single_flight

TASKS_MODULE = "derive.schedules.tasks"
EVERY_MINUTE = "* * * * *"


@dataclass(frozen=True)
class SystemTask:
    """One task. ``seconds`` is its time limit; it starts at most once in ``not_within_seconds``, whoever calls it.

    The latter is by the database's clock, so a scheduler whose clock jumps, a backlog of tasks, or a second scheduler
    never makes it run more often.
    """

    name: str
    title: str
    what: str
    cron: str
    act: Callable[[Deadline], TaskResult]
    seconds: float
    not_within_seconds: float = 20

    @property
    def func(self) -> str:
        """The dotted path by which django-q2 calls it."""
        return f"{TASKS_MODULE}.{self.name}"

    def run(self) -> str:
        """Run it unless it is already running; return its result."""
        result = run_single_flight(
            self.name, self.act, seconds=self.seconds, not_within_seconds=self.not_within_seconds
        )
        return "" if result is None else result.text


_ALL = (
    SystemTask(
        "reap",
        "Reap expired leases",
        "Ends runs whose worker stopped sending heartbeats, so their jobs are retried. Live workers do the same.",
        EVERY_MINUTE,
        maintenance.reap,
        seconds=50,
    ),
    SystemTask(
        "promote",
        "Promote due jobs",
        "Makes scheduled jobs ready when due. Live workers do the same.",
        EVERY_MINUTE,
        maintenance.promote,
        seconds=50,
    ),
    SystemTask(
        "retry_policies",
        "Retry policies",
        "Runs retry policies that are due.",
        EVERY_MINUTE,
        partial(run_due, RetryPolicy, retry),
        seconds=240,
    ),
    SystemTask(
        "escalation_policies",
        "Escalation policies",
        "Looks for escalation policies that are due, and raises the priority of jobs that have waited for too long.",
        EVERY_MINUTE,
        partial(run_due, EscalationPolicy, escalate),
        seconds=240,
    ),
    SystemTask(
        "recurring_interrogations",
        "Recurring interrogations",
        "Runs recurring interrogations that are due.",
        EVERY_MINUTE,
        partial(run_due, RecurringInterrogation, queue_again),
        seconds=240,
    ),
    SystemTask(
        "derivations",
        "Derivations",
        "Applies derivations that are due: queues what is missing or out of date, within their limits.",
        EVERY_MINUTE,
        apply_due,
        seconds=240,
    ),
    SystemTask(
        "deliveries",
        "Deliver answers",
        "Writes changed answers of derivations into the tables that these declare as their target.",
        EVERY_MINUTE,
        deliver_due,
        seconds=240,
    ),
    SystemTask(
        "experiments",
        "Score experiments",
        "Scores experiments whose jobs have all ended, and queues the jobs of those that were interrupted.",
        EVERY_MINUTE,
        go_on,
        seconds=240,
    ),
    SystemTask(
        "retention_policies",
        "Retention policies",
        "Runs retention policies that are due.",
        EVERY_MINUTE,
        partial(run_due, RetentionPolicy, retain),
        seconds=240,
    ),
    SystemTask(
        "alerts",
        "Alerts",
        "Checks the alert rules, and sends what fired, still fires or is resolved to the webhook and by e-mail.",
        EVERY_MINUTE,
        check_alerts,
        seconds=50,
    ),
    SystemTask(
        "delete_purged_files",
        "Delete purged jobs' files",
        "Deletes lake files that a purge could not delete.",
        "40 * * * *",
        delete_purged_files,
        seconds=240,
    ),
    SystemTask(
        "seal",
        "Seal the history",
        "Hashes new history into the chain of seals, stored in the lake.",
        "20 * * * *",
        seal,
        seconds=240,
    ),
    SystemTask(
        "roll_up",
        "Roll up statistics",
        "Counts events by the hour for the dashboard. Live workers do the same.",
        "*/5 * * * *",
        maintenance.roll_up,
        seconds=120,
    ),
    SystemTask(
        "measure_loads",
        "Measure load times",
        "Keeps how long each model takes to load, as the newest runs tell: workers stay with a model accordingly.",
        "*/5 * * * *",
        maintenance.measure_loads,
        seconds=120,
    ),
    SystemTask(
        "verify_sample",
        "Verify a sample",
        "Verifies a random sample of recent runs: rows, files, prompts and answers.",
        "30 3 * * *",
        maintenance.verify_sample,
        seconds=300,
        not_within_seconds=600,
    ),
    SystemTask(
        "tidy",
        "Tidy up",
        "Removes old rows from the automation tables, and workers without a heartbeat for 30 days.",
        "45 3 * * *",
        maintenance.tidy,
        seconds=120,
        not_within_seconds=600,
    ),
)
SYSTEM_TASKS = {task.name: task for task in _ALL}
FUNCS = frozenset(task.func for task in _ALL)
"""All tasks that the scheduler may call."""
