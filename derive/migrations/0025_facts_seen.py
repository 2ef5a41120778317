"""Everybody who reads jobs sees their facts; values and quotes stay with who may see payloads."""

from typing import Any, ClassVar

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

GROUPS = ("Viewer", "Operator", "Maintainer")


def let_see_facts(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let each group look at facts; the permission is made here, before Django's own signal would."""
    using = schema_editor.connection.alias
    content_types = apps.get_model("contenttypes", "ContentType").objects.using(using)
    content_type, _made = content_types.get_or_create(app_label="derive", model="fact")
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    permission, _made = permissions.get_or_create(
        content_type=content_type, codename="view_fact", defaults={"name": "Can view fact"}
    )
    for name in GROUPS:
        group, _made = apps.get_model("auth", "Group").objects.using(using).get_or_create(name=name)
        group.permissions.add(permission)


class Migration(migrations.Migration):
    """A right."""

    dependencies: ClassVar = [("derive", "0022_fact_views")]

    operations: ClassVar = [migrations.RunPython(let_see_facts, migrations.RunPython.noop)]
