"""What runs by itself: what people planned, who is at it, how it went; and who may plan."""

from typing import Any, ClassVar

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import derive.sql.fields

# Copied, not imported: a migration says what was right when it was written.
PLANS = {"retrypolicy": "retry policy", "recurringinterrogation": "recurring interrogation"}
VIEWER = [*((model, "view", label) for model, label in PLANS.items()), ("schedulerun", "view", "schedule's run")]
OPERATOR = [*VIEWER, *((model, verb, label) for model, label in PLANS.items() for verb in ("add", "change", "delete"))]
WHEN = "Five fields, in UTC: minute, hour, day of the month, month, day of the week. 0 2 * * * is every night at 02:00."
FILE = "Relative to the lake's root, .jsonl or .csv, a job a line as for enqueue_jobs. Empty: the one job below."
GROUPS = {"Viewer": VIEWER, "Operator": OPERATOR, "Maintainer": OPERATOR}


def let_plan(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let everybody see what runs by itself, and operators plan it."""
    using = schema_editor.connection.alias
    content_types = apps.get_model("contenttypes", "ContentType").objects.using(using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    for name, rights in GROUPS.items():
        group, _made = apps.get_model("auth", "Group").objects.using(using).get_or_create(name=name)
        for model, verb, label in rights:
            content_type, _made = content_types.get_or_create(app_label="derive", model=model)
            permission, _made = permissions.get_or_create(
                content_type=content_type, codename=f"{verb}_{model}", defaults={"name": f"Can {verb} {label}"}
            )
            group.permissions.add(permission)


class Migration(migrations.Migration):
    """Schedules."""

    dependencies: ClassVar = [("derive", "0005_stat_hour")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="RecurringInterrogation",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.SlugField(
                        help_text="Letters, digits, - and _. It stands in each job's history and never changes.",
                        max_length=60,
                        unique=True,
                        verbose_name="name",
                    ),
                ),
                (
                    "enabled",
                    models.BooleanField(
                        default=True, help_text="While it is off, nothing happens.", verbose_name="enabled"
                    ),
                ),
                (
                    "cron",
                    models.CharField(
                        help_text=WHEN,
                        max_length=100,
                        verbose_name="when",
                    ),
                ),
                ("next_utc", derive.sql.fields.UtcField(editable=False, null=True, verbose_name="next at")),
                ("changed_by", models.CharField(editable=False, max_length=200, verbose_name="changed by")),
                ("changed_utc", derive.sql.fields.UtcField(editable=False, verbose_name="changed at")),
                (
                    "lake_path",
                    models.CharField(
                        blank=True,
                        help_text=FILE,
                        max_length=400,
                        verbose_name="file in the lake",
                    ),
                ),
                ("interrogation_key", models.CharField(blank=True, max_length=200, verbose_name="interrogation")),
                ("entity_type", models.CharField(blank=True, max_length=200, verbose_name="entity type")),
                ("entity_id", models.CharField(blank=True, max_length=200, verbose_name="entity")),
                (
                    "input_json",
                    models.TextField(
                        blank=True, help_text="JSON: an object, as the interrogation takes it.", verbose_name="input"
                    ),
                ),
                (
                    "evidence_ref_json",
                    models.TextField(
                        blank=True,
                        help_text='JSON: {"items": […]}, where more evidence is, looked up at each run.',
                        verbose_name="evidence",
                    ),
                ),
                (
                    "model_hint",
                    models.CharField(
                        blank=True, help_text="Empty: the worker's own.", max_length=200, verbose_name="model"
                    ),
                ),
                (
                    "priority",
                    models.PositiveIntegerField(default=100, help_text="Higher is sooner.", verbose_name="priority"),
                ),
                ("max_attempts", models.PositiveSmallIntegerField(default=3, verbose_name="attempts allowed")),
                (
                    "queueing_utc",
                    derive.sql.fields.UtcField(editable=False, null=True, verbose_name="being queued for"),
                ),
            ],
            options={
                "verbose_name": "recurring interrogation",
                "verbose_name_plural": "recurring interrogations",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="RetryPolicy",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.SlugField(
                        help_text="Letters, digits, - and _. It stands in each job's history and never changes.",
                        max_length=60,
                        unique=True,
                        verbose_name="name",
                    ),
                ),
                (
                    "enabled",
                    models.BooleanField(
                        default=True, help_text="While it is off, nothing happens.", verbose_name="enabled"
                    ),
                ),
                (
                    "cron",
                    models.CharField(
                        help_text=WHEN,
                        max_length=100,
                        verbose_name="when",
                    ),
                ),
                ("next_utc", derive.sql.fields.UtcField(editable=False, null=True, verbose_name="next at")),
                ("changed_by", models.CharField(editable=False, max_length=200, verbose_name="changed by")),
                ("changed_utc", derive.sql.fields.UtcField(editable=False, verbose_name="changed at")),
                ("statuses", models.TextField(verbose_name="states")),
                (
                    "error_kinds",
                    models.TextField(
                        blank=True, help_text="None chosen: whatever the error.", verbose_name="error kinds"
                    ),
                ),
                (
                    "interrogation_keys",
                    models.TextField(
                        blank=True, help_text="One a line. Empty: every one.", verbose_name="interrogations"
                    ),
                ),
                (
                    "min_age_minutes",
                    models.PositiveIntegerField(
                        default=0,
                        help_text="Minutes ago: what has only just failed may be left alone for a while.",
                        verbose_name="ended at least",
                    ),
                ),
                (
                    "max_age_days",
                    models.PositiveIntegerField(
                        default=30, help_text="Days ago: what is older is left as it is.", verbose_name="ended at most"
                    ),
                ),
                (
                    "max_jobs",
                    models.PositiveIntegerField(
                        default=500,
                        help_text="Jobs at a time, those that ended first; the others wait for the next time.",
                        verbose_name="at most",
                    ),
                ),
            ],
            options={
                "verbose_name": "retry policy",
                "verbose_name_plural": "retry policies",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="SchedulerProcess",
            fields=[
                (
                    "cluster_id",
                    models.CharField(max_length=60, primary_key=True, serialize=False, verbose_name="cluster"),
                ),
                ("host", models.CharField(max_length=200, verbose_name="host")),
                ("pid", models.IntegerField(verbose_name="process")),
                ("seen_utc", derive.sql.fields.UtcField(verbose_name="last seen at")),
                (
                    "skew_seconds",
                    models.FloatField(
                        default=0, help_text="Seconds, against the database's clock.", verbose_name="clock ahead by"
                    ),
                ),
            ],
            options={
                "verbose_name": "scheduler",
                "verbose_name_plural": "schedulers",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="TaskState",
            fields=[
                ("name", models.CharField(max_length=200, primary_key=True, serialize=False, verbose_name="task")),
                ("token", models.CharField(blank=True, max_length=32)),
                ("held_by", models.CharField(blank=True, max_length=200, verbose_name="run by")),
                ("held_until_utc", derive.sql.fields.UtcField(null=True, verbose_name="run until at most")),
                ("started_utc", derive.sql.fields.UtcField(null=True, verbose_name="started at")),
                ("ended_utc", derive.sql.fields.UtcField(null=True, verbose_name="ended at")),
                ("succeeded_utc", derive.sql.fields.UtcField(null=True, verbose_name="last went well at")),
                ("outcome", models.CharField(blank=True, max_length=20, verbose_name="outcome")),
                ("told", models.TextField(blank=True, verbose_name="what it said")),
                ("failures", models.PositiveIntegerField(default=0, verbose_name="failures in a row")),
            ],
            options={
                "verbose_name": "task",
                "verbose_name_plural": "tasks",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="ScheduleRun",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("task", models.CharField(max_length=200, verbose_name="task")),
                ("run_by", models.CharField(max_length=200, verbose_name="run by")),
                ("started_utc", derive.sql.fields.UtcField(verbose_name="started at")),
                ("ended_utc", derive.sql.fields.UtcField(verbose_name="ended at")),
                ("outcome", models.CharField(max_length=20, verbose_name="outcome")),
                ("told", models.TextField(verbose_name="what it said")),
                ("times", models.PositiveIntegerField(default=1, verbose_name="times")),
            ],
            options={
                "verbose_name": "schedule's run",
                "verbose_name_plural": "schedules' runs",
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["task", "id"], name="ix_schedule_run_task")],
            },
        ),
        migrations.RunPython(let_plan, migrations.RunPython.noop),
    ]
