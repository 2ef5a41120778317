"""Which version of an interrogation is live, its gate, and the history of both."""

from typing import Any, ClassVar

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from derive.sql.migrating import TableScript, reading_model

SEEN_BY = ("Viewer", "Operator", "Maintainer", "Reviewer")
PROMOTED_BY = ("Maintainer",)


def let_promote(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let everybody see what is live, and maintainers promote.

    The permissions are made here, before Django's own signal would.
    """
    using = schema_editor.connection.alias
    content_types = apps.get_model("contenttypes", "ContentType").objects.using(using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    groups = apps.get_model("auth", "Group").objects.using(using)
    for model, codename, name, to in (
        ("interrogationlive", "view_interrogationlive", "Can view live version", SEEN_BY),
        ("interrogationlive", "promote_interrogations", "Can promote interrogations and set their gates", PROMOTED_BY),
        ("interrogationevent", "view_interrogationevent", "Can view interrogation event", SEEN_BY),
    ):
        content_type, _made = content_types.get_or_create(app_label="derive", model=model)
        permission, _made = permissions.get_or_create(
            content_type=content_type, codename=codename, defaults={"name": name}
        )
        for group in to:
            groups.get_or_create(name=group)[0].permissions.add(permission)


class Migration(migrations.Migration):
    """The tables, who sees them, and who promotes."""

    dependencies: ClassVar = [("derive", "0051_halved_parts")]

    operations: ClassVar = [
        TableScript("0055_interrogation_live"),
        reading_model(
            "InterrogationLive",
            table="interrogation_live",
            key=("interrogation_key", models.CharField(max_length=200, primary_key=True)),
            plural="live versions",
        ),
        migrations.AlterModelOptions(
            "interrogationlive",
            {
                "managed": False,
                "default_permissions": ("view",),
                "permissions": (("promote_interrogations", "Can promote interrogations and set their gates"),),
                "verbose_name": "live version",
                "verbose_name_plural": "live versions",
            },
        ),
        reading_model(
            "InterrogationEvent",
            table="interrogation_event",
            key=("event_seq", models.BigIntegerField(primary_key=True)),
            plural="interrogation events",
        ),
        migrations.RunPython(let_promote, migrations.RunPython.noop),
    ]
