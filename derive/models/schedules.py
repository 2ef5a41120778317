"""Automation: plans made by people, the state of each scheduled task, and the history of its runs.

Ordinary Django tables, created by migrations on both engines. They hold configuration and history; no job's state
depends on them. Times come from the database's clock (``derive.sql.clock``).
"""

from typing import ClassVar

from django.db import models
from django_q.models import Schedule

from derive.sql.fields import UtcField

NAME_CHARACTERS = 60
TASK_CHARACTERS = 200
WHEN_HELP = (
    "Five fields, in UTC: minute, hour, day of the month, month, day of the week. 0 2 * * * is every night at 02:00."
)


class SystemSchedule(Schedule):  # type: ignore[misc]  # django-q2 carries no types
    """When a system task runs: django-q2's schedule under this application.

    Governed by django-q2's permissions (``django_q.change_schedule`` …).
    """

    class Meta:
        proxy = True
        default_permissions: ClassVar = ()
        verbose_name = "schedule"
        verbose_name_plural = "schedules"

    def __str__(self) -> str:
        return self.name or "a schedule without a name"


class Planned(models.Model):
    """A plan with a cron expression; ``derive.schedules.due`` runs the ones that are due."""

    KIND: ClassVar[str]
    """The prefix of its task's name, as in ``retry:every-night``."""

    name = models.SlugField(
        "name",
        max_length=NAME_CHARACTERS,
        unique=True,
        help_text="Letters, digits, - and _. Saved to the history of each job it acts on; cannot be changed later.",
    )
    enabled = models.BooleanField("enabled", default=True, help_text="If off, it does not run.")
    cron = models.CharField(
        "when",
        max_length=100,
        help_text=WHEN_HELP,
    )
    next_utc = UtcField("next at", null=True, editable=False)
    changed_by = models.CharField("changed by", max_length=200, editable=False)
    changed_utc = UtcField("changed at", editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name

    @property
    def task(self) -> str:
        """The name of its task."""
        return f"{self.KIND}:{self.name}"

    @property
    def actor(self) -> str:
        """The actor recorded in the events of its jobs."""
        return f"schedule:{self.name}"


class RetryPolicy(Planned):
    """Which ended jobs are requeued, and when. List fields hold one value per line; an empty list means all."""

    KIND = "retry"

    statuses = models.TextField("states")
    error_kinds = models.TextField("error kinds", blank=True, help_text="None selected: any error.")
    interrogation_keys = models.TextField("interrogations", blank=True, help_text="One per line. Empty: all.")
    min_age_minutes = models.PositiveIntegerField(
        "ended at least", default=0, help_text="Minutes ago. Jobs that ended more recently wait."
    )
    max_age_days = models.PositiveIntegerField(
        "ended at most", default=30, help_text="Days ago. Older jobs are not requeued."
    )
    max_jobs = models.PositiveIntegerField(
        "at most", default=500, help_text="Jobs per run, those that ended first; the rest wait for the next run."
    )
    max_requeues = models.PositiveIntegerField(
        "requeues per job",
        default=3,
        help_text="How many times this policy requeues one job. After that it leaves the job alone and reports it.",
    )

    class Meta:
        verbose_name = "retry policy"
        verbose_name_plural = "retry policies"
        ordering: ClassVar = ["name"]


class EscalationPolicy(Planned):
    """Which waiting jobs get a higher priority, so that none waits forever behind newer, more urgent ones."""

    KIND = "escalation"

    interrogation_key = models.CharField(
        "interrogation", max_length=200, blank=True, help_text="Empty: jobs of every interrogation."
    )
    waiting_seconds = models.PositiveIntegerField(
        "after",
        default=3_600,
        help_text="Seconds that a job has been ready without being claimed. It is raised again after so many more.",
    )
    raise_by = models.PositiveIntegerField("raise by", default=10, help_text="Higher priorities run first.")
    max_priority = models.PositiveIntegerField(
        "to at most", default=200, help_text="Jobs that have this priority or a higher one stay as they are."
    )

    class Meta:
        verbose_name = "escalation policy"
        verbose_name_plural = "escalation policies"
        ordering: ClassVar = ["name"]


class RecurringInterrogation(Planned):
    """A job template, or a file of jobs in the lake, that is queued repeatedly."""

    KIND = "recurring"

    lake_path = models.CharField(
        "file in the lake",
        max_length=400,
        blank=True,
        help_text="Path relative to the lake's root, .jsonl or .csv, in the format of enqueue_jobs. "
        "Empty: queue the one job below.",
    )
    interrogation_key = models.CharField("interrogation", max_length=200, blank=True)
    entity_type = models.CharField("entity type", max_length=200, blank=True)
    entity_id = models.CharField("entity", max_length=400, blank=True)
    input_json = models.TextField("input", blank=True, help_text="The interrogation's input, as a JSON object.")
    evidence_ref_json = models.TextField(
        "evidence", blank=True, help_text='References to more evidence, as JSON: {"items": […]}. Resolved at each run.'
    )
    model_hint = models.CharField("model", max_length=200, blank=True, help_text="Empty: the worker's own.")
    priority = models.PositiveIntegerField("priority", default=100, help_text="Higher runs first.")
    max_attempts = models.PositiveSmallIntegerField("attempts allowed", default=3)
    as_batch = models.BooleanField(
        "as a batch", default=False, help_text="Each run makes a batch of its jobs, named after this and the time."
    )
    queueing_utc = UtcField("being queued for", null=True, editable=False)
    """The scheduled time whose jobs are being queued or were queued last; an interrupted run resumes it."""

    class Meta:
        verbose_name = "recurring interrogation"
        verbose_name_plural = "recurring interrogations"
        ordering: ClassVar = ["name"]


class RetentionPolicy(Planned):
    """How many days ended jobs are kept, with all their rows and files; null keeps them forever."""

    KIND = "retention"

    succeeded_days = models.PositiveIntegerField(
        "SUCCEEDED", null=True, blank=True, help_text="Days after the job ended. Empty: keep forever."
    )
    failed_days = models.PositiveIntegerField("FAILED", null=True, blank=True, help_text="Days. Empty: keep forever.")
    deadletter_days = models.PositiveIntegerField(
        "DEADLETTER", null=True, blank=True, help_text="Days. Empty: keep forever."
    )
    cancelled_days = models.PositiveIntegerField(
        "CANCELLED", null=True, blank=True, help_text="Days. Empty: keep forever."
    )
    max_jobs = models.PositiveIntegerField(
        "at most", default=10_000, help_text="Jobs per run, the oldest first; the rest wait for the next run."
    )

    class Meta:
        verbose_name = "retention policy"
        verbose_name_plural = "retention policies"
        ordering: ClassVar = ["name"]


class TaskState(models.Model):
    """A single-flight task: who holds it and until when, and its last result."""

    name = models.CharField("task", max_length=TASK_CHARACTERS, primary_key=True)
    token = models.CharField(max_length=32, blank=True)
    """The holder's token; a runner whose token is no longer stored writes nothing."""
    held_by = models.CharField("run by", max_length=200, blank=True)
    held_until_utc = UtcField("held until", null=True)
    started_utc = UtcField("started at", null=True)
    ended_utc = UtcField("ended at", null=True)
    succeeded_utc = UtcField("last success at", null=True)
    outcome = models.CharField("outcome", max_length=20, blank=True)
    told = models.TextField("result", blank=True)
    failures = models.PositiveIntegerField("failures in a row", default=0)

    class Meta:
        # Not editable, so it has no permissions.
        default_permissions: ClassVar = ()
        verbose_name = "task"
        verbose_name_plural = "tasks"

    def __str__(self) -> str:
        return self.name


class ScheduleRun(models.Model):
    """One run of a task that did something, was skipped or failed; equal consecutive runs share a row."""

    task = models.CharField("task", max_length=TASK_CHARACTERS)
    run_by = models.CharField("run by", max_length=200)
    started_utc = UtcField("started at")
    ended_utc = UtcField("ended at")
    outcome = models.CharField("outcome", max_length=20)
    told = models.TextField("result")
    times = models.PositiveIntegerField("times", default=1)

    class Meta:
        default_permissions = ("view",)
        verbose_name = "scheduled run"
        verbose_name_plural = "scheduled runs"
        indexes: ClassVar = [models.Index(fields=["task", "id"], name="ix_schedule_run_task")]

    def __str__(self) -> str:
        return f"{self.task} {self.pk}"


class SchedulerProcess(models.Model):
    """A ``manage.py qcluster`` process and its last heartbeat."""

    cluster_id = models.CharField("cluster", max_length=60, primary_key=True)
    host = models.CharField("host", max_length=200)
    pid = models.IntegerField("process")
    seen_utc = UtcField("last seen at")
    skew_seconds = models.FloatField("clock ahead by", default=0, help_text="Seconds, against the database's clock.")

    class Meta:
        default_permissions: ClassVar = ()
        verbose_name = "scheduler"
        verbose_name_plural = "schedulers"

    def __str__(self) -> str:
        return f"{self.host}:{self.pid}"
