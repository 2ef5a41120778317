"""Answers into tables of the user's own: what a derivation delivers to, and the outbox."""

from typing import ClassVar

from django.db import migrations, models

from derive.sql.migrating import TableScript
from derive.sql.tables import db_table


class Migration(migrations.Migration):
    """``llm.delivery``, and the target of a derivation."""

    dependencies: ClassVar = [("derive", "0052_interrogation_live")]

    operations: ClassVar = [
        TableScript("0056_delivery"),
        migrations.CreateModel(
            "Delivery",
            [("delivery_seq", models.BigIntegerField(primary_key=True))],
            {
                "managed": False,
                "abstract": False,
                "default_permissions": ("view",),
                "db_table": db_table("delivery"),
                "verbose_name": "delivery",
                "verbose_name_plural": "deliveries",
            },
        ),
    ]
