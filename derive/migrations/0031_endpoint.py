"""The model servers of each worker, as its heartbeats tell of them."""

from typing import ClassVar

from django.db import migrations, models

from derive.sql.migrating import TableScript
from derive.sql.tables import db_table


class Migration(migrations.Migration):
    """``llm.endpoint``."""

    dependencies: ClassVar = [("derive", "0030_model")]

    operations: ClassVar = [
        TableScript("0038_endpoint"),
        migrations.CreateModel(
            "Endpoint",
            [
                ("pk", models.CompositePrimaryKey("worker_id", "name")),
                ("worker_id", models.CharField(max_length=200)),
                ("name", models.CharField(max_length=200)),
            ],
            options={
                "managed": False,
                "abstract": False,
                "default_permissions": ("view",),
                "db_table": db_table("endpoint"),
                "verbose_name": "endpoint",
                "verbose_name_plural": "endpoints",
            },
        ),
    ]
