"""Sealed history: the chain's table, and the event that a purge leaves."""

from typing import ClassVar

from django.db import migrations, models

from derive.sql.migrating import TableScript, reading_model


class Migration(migrations.Migration):
    """The chain of seals."""

    dependencies: ClassVar = [("derive", "0011_json_text_and_locks")]

    operations: ClassVar = [
        TableScript("0015_seal"),
        reading_model("Seal", table="seal", key=("seal_seq", models.BigIntegerField(primary_key=True)), plural="seals"),
    ]
