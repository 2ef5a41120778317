"""Batches: jobs queued together, with a counted end."""

from typing import Any, ClassVar

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from derive.sql.migrating import TableScript
from derive.sql.tables import db_table

GROUPS = ("Viewer", "Operator", "Maintainer")


def let_see_batches(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let each group look at batches; the permission is made here, before Django's own signal would."""
    using = schema_editor.connection.alias
    content_types = apps.get_model("contenttypes", "ContentType").objects.using(using)
    content_type, _made = content_types.get_or_create(app_label="derive", model="batch")
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    permission, _made = permissions.get_or_create(
        content_type=content_type, codename="view_batch", defaults={"name": "Can view batch"}
    )
    for name in GROUPS:
        group, _made = apps.get_model("auth", "Group").objects.using(using).get_or_create(name=name)
        group.permissions.add(permission)


READ = (
    ("Batch", "batch", ("batch_id", models.UUIDField(primary_key=True)), "batches"),
    ("BatchEvent", "batch_event", ("event_seq", models.BigIntegerField(primary_key=True)), "batch events"),
    ("BatchCount", "batch_count", ("count_seq", models.BigIntegerField(primary_key=True)), "batch counts"),
    ("BatchProgress", "batch_progress", ("progress_seq", models.BigIntegerField(primary_key=True)), "batch progress"),
)


def _model(name: str, table: str, key: tuple[str, "models.Field[Any, Any]"], plural: str) -> migrations.CreateModel:
    """Return the operation that tells Django's state of an unmanaged model; other columns are not Django's."""
    options = {
        "managed": False,
        "abstract": False,
        "default_permissions": ("view",),
        "db_table": db_table(table),
        "verbose_name": table.replace("_", " "),
        "verbose_name_plural": plural,
    }
    return migrations.CreateModel(name, [key], options)


class Migration(migrations.Migration):
    """``llm.batch`` and its tables, a job's batch, and who sees them."""

    dependencies: ClassVar = [("derive", "0040_alerts")]

    operations: ClassVar = [
        TableScript("0046_batch"),
        *(_model(name, table, key, plural) for name, table, key, plural in READ),
        migrations.RunPython(let_see_batches, migrations.RunPython.noop),
    ]
