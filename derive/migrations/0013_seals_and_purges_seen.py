"""What operators look at: purges among what people did, the chain of seals, schedules by what people call them."""

from typing import Any, ClassVar

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from derive.sql.migrating import TableScript

GROUPS = ("Viewer", "Operator", "Maintainer")


def let_see_seals(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let everybody who reads the audit see how far it is sealed."""
    using = schema_editor.connection.alias
    content_types = apps.get_model("contenttypes", "ContentType").objects.using(using)
    content_type, _made = content_types.get_or_create(app_label="derive", model="seal")
    permission, _made = (
        apps.get_model("auth", "Permission")
        .objects.using(using)
        .get_or_create(content_type=content_type, codename="view_seal", defaults={"name": "Can view seal"})
    )
    for name in GROUPS:
        group, _made = apps.get_model("auth", "Group").objects.using(using).get_or_create(name=name)
        group.permissions.add(permission)


class Migration(migrations.Migration):
    """Indexes, a right, and other words for django-q2's schedules."""

    dependencies: ClassVar = [
        ("derive", "0012_requeues_a_job"),
        ("django_q", "0019_alter_task_options_alter_ormq_key_alter_ormq_lock_and_more"),
    ]

    operations: ClassVar = [
        TableScript("0021_purges_among_acts"),
        migrations.CreateModel(
            name="HouseSchedule",
            fields=[],
            options={
                "verbose_name": "schedule",
                "verbose_name_plural": "schedules",
                "proxy": True,
                "default_permissions": (),
                "indexes": [],
                "constraints": [],
            },
            bases=("django_q.schedule",),
        ),
        migrations.RunPython(let_see_seals, migrations.RunPython.noop),
    ]
