"""Permissions beyond looking, and the groups that hold them."""

from typing import Any, ClassVar

from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

# Copied, not imported: a migration says what was right when it was written.
JOB_PERMISSIONS = [
    ("see_payloads", "Can see payloads: input, evidence, prompts, answers, artifacts"),
    ("act_on_jobs", "Can act on jobs"),
]
VIEWED = ("job", "run", "artifact", "jobevent", "worker", "interrogation")

VIEWER = [("derive", model, f"view_{model}") for model in VIEWED]
OPERATOR = [*VIEWER, ("derive", "job", "see_payloads"), ("derive", "job", "act_on_jobs")]
# Schedules are only looked at: who may write one can have any function called.
MAINTAINER = [
    *OPERATOR,
    ("derive", "lakedeletion", "view_lakedeletion"),
    *(("django_q", model, f"view_{model}") for model in ("schedule", "success", "failure", "ormq")),
]
GROUPS = {"Viewer": VIEWER, "Operator": OPERATOR, "Maintainer": MAINTAINER}


def make_groups(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Make the groups with what they may do; permissions are made here, before Django's own signal would."""
    using = schema_editor.connection.alias
    content_types = apps.get_model("contenttypes", "ContentType").objects.using(using)
    permissions = apps.get_model("auth", "Permission").objects.using(using)
    groups = apps.get_model("auth", "Group").objects.using(using)
    labels = dict(JOB_PERMISSIONS)
    for name, rights in GROUPS.items():
        group, _made = groups.get_or_create(name=name)
        for app_label, model, codename in rights:
            content_type, _made = content_types.get_or_create(app_label=app_label, model=model)
            verbose = labels.get(codename, f"Can {codename.replace('_', ' ')}")
            permission, _made = permissions.get_or_create(
                content_type=content_type, codename=codename, defaults={"name": verbose}
            )
            group.permissions.add(permission)


class Migration(migrations.Migration):
    """Who may see and act."""

    dependencies: ClassVar = [
        ("derive", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("django_q", "0018_task_success_index"),
    ]

    operations: ClassVar = [
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
        migrations.RunPython(make_groups, migrations.RunPython.noop),
    ]
