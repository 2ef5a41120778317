"""Which waiting jobs get a higher priority; who may say so, and who sees models and endpoints."""

from typing import Any, ClassVar

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

import derive.sql.fields
from derive.sql.migrating import TableScript

MODEL, LABEL = "escalationpolicy", "escalation policy"
SEEN = {"languagemodel": "model", "endpoint": "endpoint"}
GROUPS = {
    "Viewer": ("view",),
    "Operator": ("view", "add", "change", "delete"),
    "Maintainer": ("view", "add", "change", "delete"),
}
WHEN = "Five fields, in UTC: minute, hour, day of the month, month, day of the week. 0 2 * * * is every night at 02:00."


def let_see_and_plan(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let everybody see policies, models and endpoints, and operators plan."""
    using = schema_editor.connection.alias
    content_types = apps.get_model("contenttypes", "ContentType").objects.using(using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    for name, verbs in GROUPS.items():
        group, _made = apps.get_model("auth", "Group").objects.using(using).get_or_create(name=name)
        rights = [*((verb, MODEL, LABEL) for verb in verbs), *(("view", model, label) for model, label in SEEN.items())]
        for verb, model, label in rights:
            content_type, _made = content_types.get_or_create(app_label="derive", model=model)
            permission, _made = permissions.get_or_create(
                content_type=content_type, codename=f"{verb}_{model}", defaults={"name": f"Can {verb} {label}"}
            )
            group.permissions.add(permission)


class Migration(migrations.Migration):
    """Escalation policies, and when a job was last raised by one."""

    dependencies: ClassVar = [("derive", "0031_endpoint")]

    operations: ClassVar = [
        TableScript("0039_escalated"),
        migrations.CreateModel(
            name="EscalationPolicy",
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
                    "interrogation_key",
                    models.CharField(
                        blank=True,
                        help_text="Empty: jobs of every interrogation.",
                        max_length=200,
                        verbose_name="interrogation",
                    ),
                ),
                (
                    "waiting_seconds",
                    models.PositiveIntegerField(
                        default=3600,
                        help_text="Seconds that a job has been ready without being claimed. It is raised again after "
                        "so many more.",
                        verbose_name="after",
                    ),
                ),
                (
                    "raise_by",
                    models.PositiveIntegerField(
                        default=10, help_text="Higher priorities run first.", verbose_name="raise by"
                    ),
                ),
                (
                    "max_priority",
                    models.PositiveIntegerField(
                        default=200,
                        help_text="Jobs that have this priority or a higher one stay as they are.",
                        verbose_name="to at most",
                    ),
                ),
            ],
            options={
                "verbose_name": "escalation policy",
                "verbose_name_plural": "escalation policies",
                "ordering": ["name"],
            },
        ),
        migrations.RunPython(let_see_and_plan, migrations.RunPython.noop),
    ]
