"""Saved views of lists, who opens with which, and who may share them."""

from typing import Any, ClassVar

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

RIGHTS = {
    "share_views": ("Can share views of lists", ("Operator", "Maintainer")),
    "manage_shared_views": ("Can rename and remove views that others share", ("Maintainer",)),
}


def let_share(apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let operators share views, and maintainers tidy them; permissions are made before Django's own signal would."""
    using = schema_editor.connection.alias
    content_types = apps.get_model("contenttypes", "ContentType").objects.using(using)
    content_type, _made = content_types.get_or_create(app_label="derive", model="savedview")
    for codename, (label, groups) in RIGHTS.items():
        permissions = apps.get_model("auth", "Permission").objects.using(using)
        permission, _made = permissions.get_or_create(
            content_type=content_type, codename=codename, defaults={"name": label}
        )
        for name in groups:
            group, _made = apps.get_model("auth", "Group").objects.using(using).get_or_create(name=name)
            group.permissions.add(permission)


class Migration(migrations.Migration):
    """Saved views."""

    dependencies: ClassVar = [
        ("derive", "0044_derivation"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations: ClassVar = [
        migrations.CreateModel(
            name="SavedView",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("page", models.CharField(max_length=60, verbose_name="list")),
                ("name", models.CharField(max_length=60, verbose_name="name")),
                ("filter", models.CharField(blank=True, max_length=2000, verbose_name="filter")),
                ("display", models.CharField(blank=True, max_length=200, verbose_name="columns and density")),
                ("is_shared", models.BooleanField(default=False, verbose_name="shared")),
                (
                    "owner",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
            ],
            options={
                "verbose_name": "saved view",
                "verbose_name_plural": "saved views",
                "permissions": [
                    ("share_views", "Can share views of lists"),
                    ("manage_shared_views", "Can rename and remove views that others share"),
                ],
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="DefaultView",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("page", models.CharField(max_length=60, verbose_name="list")),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to=settings.AUTH_USER_MODEL
                    ),
                ),
                (
                    "view",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="+", to="derive.savedview"
                    ),
                ),
            ],
            options={
                "verbose_name": "default view",
                "verbose_name_plural": "default views",
                "default_permissions": (),
            },
        ),
        migrations.AddIndex(
            model_name="savedview",
            index=models.Index(fields=["page", "is_shared"], name="ix_saved_view_page"),
        ),
        migrations.AddConstraint(
            model_name="savedview",
            constraint=models.UniqueConstraint(fields=("owner", "page", "name"), name="uq_saved_view_name"),
        ),
        migrations.AddConstraint(
            model_name="defaultview",
            constraint=models.UniqueConstraint(fields=("person", "page"), name="uq_default_view_page"),
        ),
        migrations.RunPython(let_share, migrations.RunPython.noop),
    ]
