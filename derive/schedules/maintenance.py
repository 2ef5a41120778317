"""System tasks on the queue: reaping, promoting, statistics, verifying a sample, tidying up."""

import random
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django_q.models import Task

from derive.alerts.checking import forget_old_alerts
from derive.alerts.verifications import RUNS, record_verification
from derive.deadline import Deadline
from derive.interrogations.registry import Registry
from derive.lake import Lake
from derive.models import Run
from derive.models.schedules import SchedulerProcess, ScheduleRun, TaskState
from derive.plural import plural
from derive.queue import JobQueue
from derive.schedules.single_flight import TaskOutcome, TaskResult
from derive.sql.clock import database_now
from derive.sql.reading import reading
from derive.states import RunStatus

ACTOR = "schedule"
BATCH = 500
ROLL_UP_STEPS = 10
"""Transactions between two checks of the time."""
SAMPLE_RUNS = 50
SAMPLE_AMONG = 10_000
"""The newest runs that the sample is drawn from."""
KEPT_RUNS = 200
"""Rows kept per task."""
KEPT_DAYS = 30
"""Days to keep django-q2's own failures, the history of deleted plans, and workers without a heartbeat."""
MAX_REPORTED_FINDINGS = 3


def reap(deadline: Deadline) -> TaskResult:
    """End the runs whose lease expired."""
    queue, reaped = JobQueue(), 0
    while not deadline.is_over:
        batch = len(queue.reap(max_rows=BATCH, actor=ACTOR))
        reaped += batch
        if batch < BATCH:
            break
    return (
        TaskResult(TaskOutcome.DONE, f"{plural(reaped, 'lease')} had expired")
        if reaped
        else TaskResult(TaskOutcome.IDLE)
    )


def promote(deadline: Deadline) -> TaskResult:
    """Promote the jobs whose time has come."""
    queue, promoted = JobQueue(), 0
    while not deadline.is_over:
        batch = queue.promote(max_rows=BATCH)
        promoted += batch
        if batch < BATCH:
            break
    return (
        TaskResult(TaskOutcome.DONE, f"{plural(promoted, 'job')} {'was' if promoted == 1 else 'were'} due")
        if promoted
        else TaskResult(TaskOutcome.IDLE)
    )


def roll_up(deadline: Deadline) -> TaskResult:
    """Roll up events into hours, as far as that is still to do."""
    queue, events = JobQueue(), 0
    while not deadline.is_over:
        answer = queue.roll_up_hours(max_steps=ROLL_UP_STEPS)
        if answer is None:
            # A worker is doing it right now.
            break
        events += answer.events
        if answer.is_caught_up or not answer.events:
            break
    return (
        TaskResult(TaskOutcome.DONE, f"{plural(events, 'event')} counted") if events else TaskResult(TaskOutcome.IDLE)
    )


def measure_loads(_deadline: Deadline) -> TaskResult:
    """Record how long each model takes to load, measured from the newest runs."""
    measured = JobQueue().measure_loads()
    return (
        TaskResult(TaskOutcome.DONE, f"{plural(measured, 'load time')} changed")
        if measured
        else TaskResult(TaskOutcome.IDLE)
    )


def verify_sample(deadline: Deadline) -> TaskResult:
    """Verify a random sample of recent runs: files, rows, prompts and answers."""
    # Imported here: every command of manage.py imports this module, and few verify.
    from derive.verify.checkers import Checkers
    from derive.verify.checking import RunChecker
    from derive.verify.reading import RunSelection
    from derive.verify.verification import Verification

    ids = _sample()
    lake = Lake.open(settings.LAKE_URL)
    checker = RunChecker.of(lake, Registry.load(settings.INTERROGATIONS_FOLDER), quick=False)
    findings: list[str] = []
    verified = 0
    with Checkers.in_threads(checker) as checkers:
        for run_id in ids:
            if deadline.is_over:
                break
            verification = Verification(lake, checkers, selection=RunSelection(run_id=run_id))
            findings.extend(finding.line() for finding in verification.found())
            verified += 1
    if verified:
        record_verification(RUNS, findings=len(findings), is_whole=False)
    if findings:
        more = f"; and {len(findings) - MAX_REPORTED_FINDINGS} more" if len(findings) > MAX_REPORTED_FINDINGS else ""
        first = "; ".join(findings[:MAX_REPORTED_FINDINGS])
        faults = f"{plural(len(findings), 'fault')} in {plural(verified, 'run')}"
        return TaskResult(TaskOutcome.FAILED, f"{faults}: {first}{more}; see verify_runs")
    return (
        TaskResult(TaskOutcome.DONE, f"{plural(verified, 'run')} verified")
        if verified
        else TaskResult(TaskOutcome.IDLE)
    )


def _sample() -> list[UUID]:
    # Sampled from existing runs, not from a range of numbers: many may belong to purged runs.
    ended = Run.objects.exclude(status=RunStatus.RUNNING.value).order_by("-run_seq")
    newest = reading(lambda: list(ended.values_list("run_id", flat=True)[:SAMPLE_AMONG]))
    return random.sample(newest, min(SAMPLE_RUNS, len(newest)))


def tidy(deadline: Deadline) -> TaskResult:
    """Delete old rows of tasks, of schedulers and workers that are gone, and of django-q2."""
    now = database_now()
    long_ago = now - timedelta(days=KEPT_DAYS)
    removed = 0
    for task in TaskState.objects.values_list("name", flat=True):
        if deadline.is_over:
            break
        rows = ScheduleRun.objects.filter(task=task).order_by("-id").values_list("id", flat=True)
        for newest_to_go in rows[KEPT_RUNS : KEPT_RUNS + 1]:
            removed += ScheduleRun.objects.filter(task=task, id__lte=newest_to_go).delete()[0]
    # Of deleted plans: their tasks have no state any more.
    states = TaskState.objects.values("name")
    removed += ScheduleRun.objects.filter(ended_utc__lt=long_ago).exclude(task__in=states).delete()[0]
    a_day = timedelta(days=1)
    removed += SchedulerProcess.objects.exclude(seen_utc__range=(now - a_day, now + a_day)).delete()[0]
    removed += forget_old_alerts(now)
    removed += Task.objects.filter(stopped__lt=long_ago).delete()[0]
    queue = JobQueue()
    while not deadline.is_over:
        workers = queue.forget_workers(silent_days=KEPT_DAYS, max_rows=BATCH)
        removed += workers
        if workers < BATCH:
            break
    return TaskResult(TaskOutcome.DONE, f"{removed} old rows removed") if removed else TaskResult(TaskOutcome.IDLE)
