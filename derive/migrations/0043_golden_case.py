"""Golden cases: questions with the facts of a right answer."""

from typing import Any, ClassVar

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from derive.sql.fields import GuidField
from derive.sql.migrating import TableScript, reading_model

SEEN_BY = ("Viewer", "Operator", "Maintainer", "Reviewer")
MADE_BY = ("Operator", "Maintainer", "Reviewer")


def let_make_cases(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let everybody see golden cases, and those who review make them.

    The permissions are made here, before Django's own signal would.
    """
    using = schema_editor.connection.alias
    content_types = apps.get_model("contenttypes", "ContentType").objects.using(using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    groups = apps.get_model("auth", "Group").objects.using(using)
    content_type, _made = content_types.get_or_create(app_label="derive", model="goldencase")
    for codename, name, to in (
        ("view_goldencase", "Can view golden case", SEEN_BY),
        ("edit_golden_cases", "Can make golden cases", MADE_BY),
    ):
        permission, _made = permissions.get_or_create(
            content_type=content_type, codename=codename, defaults={"name": name}
        )
        for group in to:
            groups.get_or_create(name=group)[0].permissions.add(permission)


class Migration(migrations.Migration):
    """The table, who sees it, and who makes cases."""

    dependencies: ClassVar = [("derive", "0042_what_people_did")]

    operations: ClassVar = [
        TableScript("0048_golden_case"),
        reading_model(
            "GoldenCase",
            table="golden_case",
            key=("case_id", GuidField(primary_key=True)),
            plural="golden cases",
        ),
        migrations.AlterModelOptions(
            "goldencase",
            {
                "managed": False,
                "default_permissions": ("view",),
                "permissions": (("edit_golden_cases", "Can make golden cases"),),
                "verbose_name": "golden case",
                "verbose_name_plural": "golden cases",
            },
        ),
        migrations.RunPython(let_make_cases, migrations.RunPython.noop),
    ]
