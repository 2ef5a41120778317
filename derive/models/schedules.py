"""What runs by itself: what people planned, who is at it now, and how it went.

Django's own tables, made by migrations on both engines: they are configuration and its history, and no job's state
depends on them. Times are written by the database's clock (``derive.sql.clock``).
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


class HouseSchedule(Schedule):  # type: ignore[misc]  # django-q2 carries no types
    """When a system task runs: django-q2's row, by the words that people know it by.

    django-q2's own rights stand for it (``django_q.change_schedule`` …).
    """

    class Meta:
        proxy = True
        default_permissions: ClassVar = ()
        verbose_name = "schedule"
        verbose_name_plural = "schedules"

    def __str__(self) -> str:
        return self.name or "a schedule without a name"


class Planned(models.Model):
    """What people plan by a cron expression; ``derive.schedules.due`` goes through it."""

    KIND: ClassVar[str]
    """What its task is called before the name, as in ``retry:every-night``."""

    name = models.SlugField(
        "name",
        max_length=NAME_CHARACTERS,
        unique=True,
        help_text="Letters, digits, - and _. It stands in each job's history and never changes.",
    )
    enabled = models.BooleanField("enabled", default=True, help_text="While it is off, nothing happens.")
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
        """Who its jobs' events say has acted."""
        return f"schedule:{self.name}"


class RetryPolicy(Planned):
    """Which ended jobs are queued anew, and when. The lists hold a value a line; an empty one means all."""

    KIND = "retry"

    statuses = models.TextField("states")
    error_kinds = models.TextField("error kinds", blank=True, help_text="None chosen: whatever the error.")
    interrogation_keys = models.TextField("interrogations", blank=True, help_text="One a line. Empty: every one.")
    min_age_minutes = models.PositiveIntegerField(
        "ended at least", default=0, help_text="Minutes ago: what has only just failed may be left alone for a while."
    )
    max_age_days = models.PositiveIntegerField(
        "ended at most", default=30, help_text="Days ago: what is older is left as it is."
    )
    max_jobs = models.PositiveIntegerField(
        "at most", default=500, help_text="Jobs at a time, those that ended first; the others wait for the next time."
    )
    max_requeues = models.PositiveIntegerField(
        "times a job",
        default=3,
        help_text="How often this policy queues one job anew. A job that ends again after so many is left alone, "
        "and the report says so.",
    )

    class Meta:
        verbose_name = "retry policy"
        verbose_name_plural = "retry policies"
        ordering: ClassVar = ["name"]


class EscalationPolicy(Planned):
    """Which waiting jobs get a higher priority, so that none waits for ever behind newer ones that are more urgent."""

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
    """What is asked again and again: one job's template, or a file of jobs in the lake."""

    KIND = "recurring"

    lake_path = models.CharField(
        "file in the lake",
        max_length=400,
        blank=True,
        help_text="Relative to the lake's root, .jsonl or .csv, a job a line as for enqueue_jobs. "
        "Empty: the one job below.",
    )
    interrogation_key = models.CharField("interrogation", max_length=200, blank=True)
    entity_type = models.CharField("entity type", max_length=200, blank=True)
    entity_id = models.CharField("entity", max_length=200, blank=True)
    input_json = models.TextField("input", blank=True, help_text="JSON: an object, as the interrogation takes it.")
    evidence_ref_json = models.TextField(
        "evidence", blank=True, help_text='JSON: {"items": […]}, where more evidence is, looked up at each run.'
    )
    model_hint = models.CharField("model", max_length=200, blank=True, help_text="Empty: the worker's own.")
    priority = models.PositiveIntegerField("priority", default=100, help_text="Higher is sooner.")
    max_attempts = models.PositiveSmallIntegerField("attempts allowed", default=3)
    queueing_utc = UtcField("being queued for", null=True, editable=False)
    """The time of the plan whose jobs are being queued, or were last: what was begun is brought to its end."""

    class Meta:
        verbose_name = "recurring interrogation"
        verbose_name_plural = "recurring interrogations"
        ordering: ClassVar = ["name"]


class RetentionPolicy(Planned):
    """How long ended jobs are kept, with all their rows and files; a state without a number of days stays."""

    KIND = "retention"

    succeeded_days = models.PositiveIntegerField(
        "SUCCEEDED", null=True, blank=True, help_text="Days after a job's end. Empty: they stay."
    )
    failed_days = models.PositiveIntegerField("FAILED", null=True, blank=True, help_text="Days. Empty: they stay.")
    deadletter_days = models.PositiveIntegerField(
        "DEADLETTER", null=True, blank=True, help_text="Days. Empty: they stay."
    )
    cancelled_days = models.PositiveIntegerField(
        "CANCELLED", null=True, blank=True, help_text="Days. Empty: they stay."
    )
    max_jobs = models.PositiveIntegerField(
        "at most", default=10_000, help_text="Jobs at a time, the oldest first; the others wait for the next time."
    )

    class Meta:
        verbose_name = "retention policy"
        verbose_name_plural = "retention policies"
        ordering: ClassVar = ["name"]


class TaskState(models.Model):
    """A task that runs once at a time: who is at it until when, and how it went last."""

    name = models.CharField("task", max_length=TASK_CHARACTERS, primary_key=True)
    token = models.CharField(max_length=32, blank=True)
    """Whose it is: the one that runs it writes nothing once somebody else's stands here."""
    held_by = models.CharField("run by", max_length=200, blank=True)
    held_until_utc = UtcField("run until at most", null=True)
    started_utc = UtcField("started at", null=True)
    ended_utc = UtcField("ended at", null=True)
    succeeded_utc = UtcField("last went well at", null=True)
    outcome = models.CharField("outcome", max_length=20, blank=True)
    told = models.TextField("what it said", blank=True)
    failures = models.PositiveIntegerField("failures in a row", default=0)

    class Meta:
        # Nobody edits it: no such permission exists.
        default_permissions: ClassVar = ()
        verbose_name = "task"
        verbose_name_plural = "tasks"

    def __str__(self) -> str:
        return self.name


class ScheduleRun(models.Model):
    """One time that a task did something, skipped it or failed; equal ones after each other are one row."""

    task = models.CharField("task", max_length=TASK_CHARACTERS)
    run_by = models.CharField("run by", max_length=200)
    started_utc = UtcField("started at")
    ended_utc = UtcField("ended at")
    outcome = models.CharField("outcome", max_length=20)
    told = models.TextField("what it said")
    times = models.PositiveIntegerField("times", default=1)

    class Meta:
        default_permissions = ("view",)
        verbose_name = "schedule's run"
        verbose_name_plural = "schedules' runs"
        indexes: ClassVar = [models.Index(fields=["task", "id"], name="ix_schedule_run_task")]

    def __str__(self) -> str:
        return f"{self.task} {self.pk}"


class SchedulerProcess(models.Model):
    """A ``manage.py qcluster`` that was heard of lately."""

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
