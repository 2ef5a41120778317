"""How long ended jobs are kept; and who may say so."""

from typing import Any, ClassVar

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import derive.sql.fields

MODEL, LABEL = "retentionpolicy", "retention policy"
# Everybody sees them; to purge is the maintainers'.
GROUPS = {"Viewer": ("view",), "Operator": ("view",), "Maintainer": ("view", "add", "change", "delete")}
WHEN = "Five fields, in UTC: minute, hour, day of the month, month, day of the week. 0 2 * * * is every night at 02:00."


def let_retain(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let everybody see the policies, and maintainers make them."""
    using = schema_editor.connection.alias
    content_types = apps.get_model("contenttypes", "ContentType").objects.using(using)
    content_type, _made = content_types.get_or_create(app_label="derive", model=MODEL)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    for name, verbs in GROUPS.items():
        group, _made = apps.get_model("auth", "Group").objects.using(using).get_or_create(name=name)
        for verb in verbs:
            permission, _made = permissions.get_or_create(
                content_type=content_type, codename=f"{verb}_{MODEL}", defaults={"name": f"Can {verb} {LABEL}"}
            )
            group.permissions.add(permission)


class Migration(migrations.Migration):
    """Retention policies."""

    dependencies: ClassVar = [("derive", "0006_seal")]

    operations: ClassVar = [
        migrations.CreateModel(
            name="RetentionPolicy",
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
                ("cron", models.CharField(help_text=WHEN, max_length=100, verbose_name="when")),
                ("next_utc", derive.sql.fields.UtcField(editable=False, null=True, verbose_name="next at")),
                ("changed_by", models.CharField(editable=False, max_length=200, verbose_name="changed by")),
                ("changed_utc", derive.sql.fields.UtcField(editable=False, verbose_name="changed at")),
                (
                    "succeeded_days",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Days after a job's end. Empty: they stay.",
                        null=True,
                        verbose_name="SUCCEEDED",
                    ),
                ),
                (
                    "failed_days",
                    models.PositiveIntegerField(
                        blank=True, help_text="Days. Empty: they stay.", null=True, verbose_name="FAILED"
                    ),
                ),
                (
                    "deadletter_days",
                    models.PositiveIntegerField(
                        blank=True, help_text="Days. Empty: they stay.", null=True, verbose_name="DEADLETTER"
                    ),
                ),
                (
                    "cancelled_days",
                    models.PositiveIntegerField(
                        blank=True, help_text="Days. Empty: they stay.", null=True, verbose_name="CANCELLED"
                    ),
                ),
                (
                    "max_jobs",
                    models.PositiveIntegerField(
                        default=10000,
                        help_text="Jobs at a time, the oldest first; the others wait for the next time.",
                        verbose_name="at most",
                    ),
                ),
            ],
            options={
                "verbose_name": "retention policy",
                "verbose_name_plural": "retention policies",
                "ordering": ["name"],
            },
        ),
        migrations.RunPython(let_retain, migrations.RunPython.noop),
    ]
