"""Experiments: variants of a question, compared on a golden set."""

from typing import Any, ClassVar

from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from derive.sql.fields import GuidField
from derive.sql.migrating import TableScript, reading_model

SEEN_BY = ("Viewer", "Operator", "Maintainer", "Reviewer")
RUN_BY = ("Operator", "Maintainer")


def let_run_experiments(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let everybody see experiments, and operators run them.

    The permissions are made here, before Django's own signal would.
    """
    using = schema_editor.connection.alias
    content_types = apps.get_model("contenttypes", "ContentType").objects.using(using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    groups = apps.get_model("auth", "Group").objects.using(using)
    content_type, _made = content_types.get_or_create(app_label="derive", model="experiment")
    for codename, name, to in (
        ("view_experiment", "Can view experiment", SEEN_BY),
        ("run_experiments", "Can run experiments", RUN_BY),
    ):
        permission, _made = permissions.get_or_create(
            content_type=content_type, codename=codename, defaults={"name": name}
        )
        for group in to:
            groups.get_or_create(name=group)[0].permissions.add(permission)


class Migration(migrations.Migration):
    """The tables, who sees them, and who runs experiments."""

    dependencies: ClassVar = [("derive", "0048_split")]

    operations: ClassVar = [
        TableScript("0052_experiment"),
        reading_model(
            "Experiment",
            table="experiment",
            key=("experiment_id", GuidField(primary_key=True)),
            plural="experiments",
        ),
        migrations.AlterModelOptions(
            "experiment",
            {
                "managed": False,
                "default_permissions": ("view",),
                "permissions": (("run_experiments", "Can run experiments"),),
                "verbose_name": "experiment",
                "verbose_name_plural": "experiments",
            },
        ),
        reading_model(
            "ExperimentCase",
            table="experiment_case",
            key=("experiment_case_seq", models.BigIntegerField(primary_key=True)),
            plural="experiment cases",
        ),
        migrations.RunPython(let_run_experiments, migrations.RunPython.noop),
    ]
