"""Plainer names and help texts of the automation models; the proxy of django-q2's schedules is renamed."""

from typing import ClassVar

from django.db import migrations, models

import derive.sql.fields


class Migration(migrations.Migration):
    """State only: names and help texts are not in the database, and a proxy has no table."""

    dependencies: ClassVar = [("derive", "0032_escalation")]

    operations: ClassVar = [
        migrations.RenameModel("HouseSchedule", "SystemSchedule"),
        migrations.AlterModelOptions(
            name="schedulerun",
            options={
                "default_permissions": ("view",),
                "verbose_name": "scheduled run",
                "verbose_name_plural": "scheduled runs",
            },
        ),
        migrations.AlterField(
            model_name="recurringinterrogation",
            name="enabled",
            field=models.BooleanField(default=True, help_text="If off, it does not run.", verbose_name="enabled"),
        ),
        migrations.AlterField(
            model_name="recurringinterrogation",
            name="evidence_ref_json",
            field=models.TextField(
                blank=True,
                help_text='References to more evidence, as JSON: {"items": […]}. Resolved at each run.',
                verbose_name="evidence",
            ),
        ),
        migrations.AlterField(
            model_name="recurringinterrogation",
            name="input_json",
            field=models.TextField(
                blank=True, help_text="The interrogation's input, as a JSON object.", verbose_name="input"
            ),
        ),
        migrations.AlterField(
            model_name="recurringinterrogation",
            name="lake_path",
            field=models.CharField(
                blank=True,
                help_text="Path relative to the lake's root, .jsonl or .csv, in the format of "
                "enqueue_jobs. Empty: queue the one job below.",
                max_length=400,
                verbose_name="file in the lake",
            ),
        ),
        migrations.AlterField(
            model_name="recurringinterrogation",
            name="name",
            field=models.SlugField(
                help_text="Letters, digits, - and _. Saved to the history of each job it acts "
                "on; cannot be changed later.",
                max_length=60,
                unique=True,
                verbose_name="name",
            ),
        ),
        migrations.AlterField(
            model_name="recurringinterrogation",
            name="priority",
            field=models.PositiveIntegerField(default=100, help_text="Higher runs first.", verbose_name="priority"),
        ),
        migrations.AlterField(
            model_name="retentionpolicy",
            name="cancelled_days",
            field=models.PositiveIntegerField(
                blank=True, help_text="Days. Empty: keep forever.", null=True, verbose_name="CANCELLED"
            ),
        ),
        migrations.AlterField(
            model_name="retentionpolicy",
            name="deadletter_days",
            field=models.PositiveIntegerField(
                blank=True, help_text="Days. Empty: keep forever.", null=True, verbose_name="DEADLETTER"
            ),
        ),
        migrations.AlterField(
            model_name="retentionpolicy",
            name="enabled",
            field=models.BooleanField(default=True, help_text="If off, it does not run.", verbose_name="enabled"),
        ),
        migrations.AlterField(
            model_name="retentionpolicy",
            name="failed_days",
            field=models.PositiveIntegerField(
                blank=True, help_text="Days. Empty: keep forever.", null=True, verbose_name="FAILED"
            ),
        ),
        migrations.AlterField(
            model_name="retentionpolicy",
            name="max_jobs",
            field=models.PositiveIntegerField(
                default=10000,
                help_text="Jobs per run, the oldest first; the rest wait for the next run.",
                verbose_name="at most",
            ),
        ),
        migrations.AlterField(
            model_name="retentionpolicy",
            name="name",
            field=models.SlugField(
                help_text="Letters, digits, - and _. Saved to the history of each job it acts "
                "on; cannot be changed later.",
                max_length=60,
                unique=True,
                verbose_name="name",
            ),
        ),
        migrations.AlterField(
            model_name="retentionpolicy",
            name="succeeded_days",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Days after the job ended. Empty: keep forever.",
                null=True,
                verbose_name="SUCCEEDED",
            ),
        ),
        migrations.AlterField(
            model_name="retrypolicy",
            name="enabled",
            field=models.BooleanField(default=True, help_text="If off, it does not run.", verbose_name="enabled"),
        ),
        migrations.AlterField(
            model_name="retrypolicy",
            name="error_kinds",
            field=models.TextField(blank=True, help_text="None selected: any error.", verbose_name="error kinds"),
        ),
        migrations.AlterField(
            model_name="retrypolicy",
            name="interrogation_keys",
            field=models.TextField(blank=True, help_text="One per line. Empty: all.", verbose_name="interrogations"),
        ),
        migrations.AlterField(
            model_name="retrypolicy",
            name="max_age_days",
            field=models.PositiveIntegerField(
                default=30, help_text="Days ago. Older jobs are not requeued.", verbose_name="ended at most"
            ),
        ),
        migrations.AlterField(
            model_name="retrypolicy",
            name="max_jobs",
            field=models.PositiveIntegerField(
                default=500,
                help_text="Jobs per run, those that ended first; the rest wait for the next run.",
                verbose_name="at most",
            ),
        ),
        migrations.AlterField(
            model_name="retrypolicy",
            name="max_requeues",
            field=models.PositiveIntegerField(
                default=3,
                help_text="How many times this policy requeues one job. After that it leaves the "
                "job alone and reports it.",
                verbose_name="requeues per job",
            ),
        ),
        migrations.AlterField(
            model_name="retrypolicy",
            name="min_age_minutes",
            field=models.PositiveIntegerField(
                default=0, help_text="Minutes ago. Jobs that ended more recently wait.", verbose_name="ended at least"
            ),
        ),
        migrations.AlterField(
            model_name="retrypolicy",
            name="name",
            field=models.SlugField(
                help_text="Letters, digits, - and _. Saved to the history of each job it acts "
                "on; cannot be changed later.",
                max_length=60,
                unique=True,
                verbose_name="name",
            ),
        ),
        migrations.AlterField(
            model_name="schedulerun",
            name="told",
            field=models.TextField(verbose_name="result"),
        ),
        migrations.AlterField(
            model_name="taskstate",
            name="held_until_utc",
            field=derive.sql.fields.UtcField(null=True, verbose_name="held until"),
        ),
        migrations.AlterField(
            model_name="taskstate",
            name="succeeded_utc",
            field=derive.sql.fields.UtcField(null=True, verbose_name="last success at"),
        ),
        migrations.AlterField(
            model_name="taskstate",
            name="told",
            field=models.TextField(blank=True, verbose_name="result"),
        ),
        migrations.AlterField(
            model_name="escalationpolicy",
            name="enabled",
            field=models.BooleanField(default=True, help_text="If off, it does not run.", verbose_name="enabled"),
        ),
        migrations.AlterField(
            model_name="escalationpolicy",
            name="name",
            field=models.SlugField(
                help_text="Letters, digits, - and _. Saved to the history of each job it acts "
                "on; cannot be changed later.",
                max_length=60,
                unique=True,
                verbose_name="name",
            ),
        ),
    ]
