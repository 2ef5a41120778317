"""Derivations: what is kept current, and its subjects."""

from typing import Any, ClassVar

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from derive.sql.migrating import TableScript
from derive.sql.tables import db_table

RIGHTS = {"view": ("Viewer", "Operator", "Maintainer"), "change": ("Maintainer",)}


def let_see_derivations(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let each group look at derivations, and maintainers declare them; made here, before Django's own signal would."""
    using = schema_editor.connection.alias
    content_types = apps.get_model("contenttypes", "ContentType").objects.using(using)
    content_type, _made = content_types.get_or_create(app_label="derive", model="derivation")
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    for act, names in RIGHTS.items():
        permission, _made = permissions.get_or_create(
            content_type=content_type, codename=f"{act}_derivation", defaults={"name": f"Can {act} derivation"}
        )
        for name in names:
            group, _made = apps.get_model("auth", "Group").objects.using(using).get_or_create(name=name)
            group.permissions.add(permission)


READ = (
    ("Derivation", "derivation", ("derivation_key", models.CharField(max_length=200, primary_key=True)), "derivations"),
    ("Subject", "subject", ("subject_seq", models.BigIntegerField(primary_key=True)), "subjects"),
    ("PastAnswer", "past_answer", ("job_id", models.UUIDField(primary_key=True)), "past answers"),
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
    """``llm.derivation``, ``llm.subject``, and who sees them."""

    dependencies: ClassVar = [("derive", "0043_golden_case")]

    operations: ClassVar = [
        TableScript("0049_derivation"),
        *(_model(name, table, key, plural) for name, table, key, plural in READ),
        migrations.RunPython(let_see_derivations, migrations.RunPython.noop),
    ]
