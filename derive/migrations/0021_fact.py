"""Facts as rows."""

from typing import ClassVar

from django.db import migrations

from derive.sql.fields import GuidField
from derive.sql.migrating import TableScript, reading_model


class Migration(migrations.Migration):
    """The facts of answers, and which runs' facts are stored."""

    dependencies: ClassVar = [("derive", "0020_worker_not_claiming")]

    operations: ClassVar = [
        TableScript("0032_fact"),
        reading_model("Fact", table="fact", key=("fact_id", GuidField(primary_key=True)), plural="facts"),
        reading_model("FactSet", table="fact_set", key=("run_id", GuidField(primary_key=True)), plural="fact sets"),
    ]
