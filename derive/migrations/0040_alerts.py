"""Alerts: rules, what fired and where it was said, and what verifications found; and who may change rules."""

import uuid
from datetime import UTC, datetime
from typing import Any, ClassVar

import django.db.models.deletion
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import derive.sql.fields

GROUPS = {
    "Viewer": ("view",),
    "Operator": ("view", "add", "change", "delete"),
    "Maintainer": ("view", "add", "change", "delete"),
}
# How long is too long to wait depends on what is queued, so that rule is off. The others tell of what is never right.
RULES: tuple[dict[str, Any], ...] = (
    {"name": "dead-letters", "kind": "dead_letters", "count": 10, "minutes": 15},
    {"name": "long-wait", "kind": "oldest_wait", "minutes": 60, "enabled": False},
    {"name": "worker-gone", "kind": "worker_gone", "minutes": 5},
    {"name": "model-server-down", "kind": "endpoint_down", "minutes": 10},
    {"name": "task-failing", "kind": "task_failing", "count": 2},
    {"name": "verification", "kind": "verification"},
)
REPEAT_MINUTES = 1_440
MADE_BY = "migrate"


def let_watch(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let everybody see rules and alerts, and operators change rules."""
    using = schema_editor.connection.alias
    content_types = apps.get_model("contenttypes", "ContentType").objects.using(using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    for name, verbs in GROUPS.items():
        group, _made = apps.get_model("auth", "Group").objects.using(using).get_or_create(name=name)
        for verb, model, label in [("view", "alert", "alert"), *((verb, "alertrule", "alert rule") for verb in verbs)]:
            content_type, _made = content_types.get_or_create(app_label="derive", model=model)
            permission, _made = permissions.get_or_create(
                content_type=content_type, codename=f"{verb}_{model}", defaults={"name": f"Can {verb} {label}"}
            )
            group.permissions.add(permission)


def make_rules(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make the rules that most people want, once: a deleted one stays deleted."""
    rules = apps.get_model("derive", "AlertRule").objects.using(schema_editor.connection.alias)
    now = datetime.now(UTC)
    for rule in RULES:
        rules.create(**rule, repeat_minutes=REPEAT_MINUTES, changed_by=MADE_BY, changed_utc=now)


class Migration(migrations.Migration):
    """Alerts."""

    dependencies: ClassVar = [("derive", "0037_job_ready_priority")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="Alert",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("rule_name", models.CharField(max_length=60, verbose_name="rule")),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("dead_letters", "too many dead letters"),
                            ("oldest_wait", "a job waits for too long"),
                            ("worker_gone", "a worker is gone"),
                            ("endpoint_down", "a model server is down"),
                            ("task_failing", "a scheduler task keeps failing"),
                            ("verification", "a verification found something"),
                        ],
                        max_length=40,
                        verbose_name="kind",
                    ),
                ),
                ("subject", models.CharField(blank=True, max_length=200, verbose_name="subject")),
                (
                    "state",
                    models.CharField(
                        choices=[("pending", "pending"), ("firing", "firing"), ("resolved", "resolved")],
                        max_length=20,
                        verbose_name="state",
                    ),
                ),
                ("summary", models.CharField(max_length=500, verbose_name="summary")),
                ("began_utc", derive.sql.fields.UtcField(verbose_name="began at")),
                ("fired_utc", derive.sql.fields.UtcField(null=True, verbose_name="fired at")),
                ("said_utc", derive.sql.fields.UtcField(null=True, verbose_name="last message at")),
                ("ended_utc", derive.sql.fields.UtcField(null=True, verbose_name="ended at")),
                ("closed_by", models.CharField(blank=True, max_length=200, verbose_name="closed by")),
            ],
            options={
                "verbose_name": "alert",
                "verbose_name_plural": "alerts",
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="AlertDestination",
            fields=[
                (
                    "name",
                    models.CharField(max_length=320, primary_key=True, serialize=False, verbose_name="destination"),
                ),
                ("delivered_utc", derive.sql.fields.UtcField(null=True, verbose_name="last delivery at")),
                ("failed_utc", derive.sql.fields.UtcField(null=True, verbose_name="last failure at")),
                ("last_error", models.CharField(blank=True, max_length=500, verbose_name="last error")),
            ],
            options={
                "verbose_name": "alert destination",
                "verbose_name_plural": "alert destinations",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="AlertRule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "name",
                    models.SlugField(
                        help_text="Letters, digits, - and _. Named in each message; cannot be changed later.",
                        max_length=60,
                        unique=True,
                        verbose_name="name",
                    ),
                ),
                (
                    "enabled",
                    models.BooleanField(default=True, help_text="If off, nothing is watched.", verbose_name="enabled"),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("dead_letters", "too many dead letters"),
                            ("oldest_wait", "a job waits for too long"),
                            ("worker_gone", "a worker is gone"),
                            ("endpoint_down", "a model server is down"),
                            ("task_failing", "a scheduler task keeps failing"),
                            ("verification", "a verification found something"),
                        ],
                        max_length=40,
                        verbose_name="alert when",
                    ),
                ),
                ("count", models.PositiveIntegerField(blank=True, null=True, verbose_name="more than")),
                ("minutes", models.PositiveIntegerField(blank=True, null=True, verbose_name="minutes")),
                ("interrogation_key", models.CharField(blank=True, max_length=200, verbose_name="interrogation")),
                (
                    "repeat_minutes",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Minutes, while it lasts. Empty: say it once.",
                        null=True,
                        verbose_name="repeat every",
                    ),
                ),
                ("changed_by", models.CharField(editable=False, max_length=200, verbose_name="changed by")),
                ("changed_utc", derive.sql.fields.UtcField(editable=False, verbose_name="changed at")),
            ],
            options={
                "verbose_name": "alert rule",
                "verbose_name_plural": "alert rules",
                "ordering": ["name"],
            },
        ),
        migrations.CreateModel(
            name="AlertMessage",
            fields=[
                (
                    "message_id",
                    derive.sql.fields.GuidField(
                        default=uuid.uuid4, primary_key=True, serialize=False, verbose_name="message id"
                    ),
                ),
                (
                    "event",
                    models.CharField(
                        choices=[
                            ("fired", "fired"),
                            ("repeated", "still firing"),
                            ("resolved", "resolved"),
                            ("test", "test"),
                        ],
                        max_length=20,
                        verbose_name="event",
                    ),
                ),
                ("summary", models.CharField(max_length=500, verbose_name="summary")),
                ("made_by", models.CharField(max_length=200, verbose_name="made by")),
                ("at_utc", derive.sql.fields.UtcField(verbose_name="at")),
                ("addressed_utc", derive.sql.fields.UtcField(null=True, verbose_name="addressed at")),
                (
                    "alert",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="messages",
                        to="derive.alert",
                        verbose_name="alert",
                    ),
                ),
            ],
            options={
                "verbose_name": "alert message",
                "verbose_name_plural": "alert messages",
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="AlertDelivery",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("destination", models.CharField(max_length=320, verbose_name="destination")),
                (
                    "state",
                    models.CharField(
                        choices=[("waiting", "waiting"), ("delivered", "delivered"), ("given_up", "given up")],
                        default="waiting",
                        max_length=20,
                        verbose_name="state",
                    ),
                ),
                ("attempts", models.PositiveIntegerField(default=0, verbose_name="attempts")),
                ("next_utc", derive.sql.fields.UtcField(null=True, verbose_name="next attempt at")),
                ("ended_utc", derive.sql.fields.UtcField(null=True, verbose_name="ended at")),
                ("last_error", models.CharField(blank=True, max_length=500, verbose_name="last error")),
                (
                    "message",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="deliveries",
                        to="derive.alertmessage",
                        verbose_name="message",
                    ),
                ),
            ],
            options={
                "verbose_name": "alert delivery",
                "verbose_name_plural": "alert deliveries",
                "default_permissions": (),
            },
        ),
        migrations.AddField(
            model_name="alert",
            name="rule",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="alerts",
                to="derive.alertrule",
                verbose_name="rule",
            ),
        ),
        migrations.CreateModel(
            name="VerificationResult",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("of", models.CharField(max_length=20, verbose_name="of")),
                ("is_whole", models.BooleanField(verbose_name="whole")),
                ("findings", models.PositiveIntegerField(verbose_name="findings")),
                ("at_utc", derive.sql.fields.UtcField(verbose_name="at")),
            ],
            options={
                "verbose_name": "verification result",
                "verbose_name_plural": "verification results",
                "default_permissions": (),
                "indexes": [models.Index(fields=["of", "id"], name="ix_verification_of")],
            },
        ),
        migrations.AddIndex(
            model_name="alertmessage",
            index=models.Index(fields=["addressed_utc", "at_utc"], name="ix_alert_message_addressed"),
        ),
        migrations.AddIndex(
            model_name="alertdelivery",
            index=models.Index(fields=["state", "id"], name="ix_alert_delivery_state"),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(fields=["state", "id"], name="ix_alert_state"),
        ),
        migrations.AddIndex(
            model_name="alert",
            index=models.Index(fields=["rule", "ended_utc"], name="ix_alert_rule"),
        ),
        migrations.RunPython(let_watch, migrations.RunPython.noop),
        migrations.RunPython(make_rules, migrations.RunPython.noop),
    ]
