"""Indexes that the jobs' list and the audit are read by; and what only maintainers may do."""

from typing import Any, ClassVar

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from derive.sql.migrating import TableScript

# Copied, not imported: a migration says what was right when it was written.
JOB_PERMISSIONS = [
    ("see_payloads", "Can see payloads: input, evidence, prompts, answers, artifacts"),
    ("act_on_jobs", "Can act on jobs"),
    ("purge_jobs", "Can purge jobs"),
]
# A schedule names any function there is: who may write one is trusted like whoever deploys.
MAINTAINER = [
    ("derive", "job", "purge_jobs"),
    *(("django_q", "schedule", f"{verb}_schedule") for verb in ("add", "change", "delete")),
    *(("django_q", model, f"delete_{model}") for model in ("failure", "ormq")),
]


def let_maintainers(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let maintainers purge, edit schedules, and clear away what failed or waits there."""
    using = schema_editor.connection.alias
    content_types = apps.get_model("contenttypes", "ContentType").objects.using(using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    group, _made = apps.get_model("auth", "Group").objects.using(using).get_or_create(name="Maintainer")
    labels = dict(JOB_PERMISSIONS)
    for app_label, model, codename in MAINTAINER:
        content_type, _made = content_types.get_or_create(app_label=app_label, model=model)
        name = labels.get(codename, f"Can {codename.replace('_', ' ')}")
        permission, _made = permissions.get_or_create(
            content_type=content_type, codename=codename, defaults={"name": name}
        )
        group.permissions.add(permission)


class Migration(migrations.Migration):
    """What the pages read by, and who may purge."""

    dependencies: ClassVar = [("derive", "0003_views")]

    operations: ClassVar = [
        TableScript("0013_reading_indexes"),
        migrations.AlterModelOptions(
            "job",
            {
                "managed": False,
                "default_permissions": ("view",),
                "permissions": JOB_PERMISSIONS,
                "verbose_name": "job",
                "verbose_name_plural": "jobs",
            },
        ),
        migrations.RunPython(let_maintainers, migrations.RunPython.noop),
    ]
