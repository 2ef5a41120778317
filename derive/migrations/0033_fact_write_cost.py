"""Facts that cost a completion less."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """A foreign key and two indexes of ``llm.fact``."""

    dependencies: ClassVar = [("derive", "0034_system_schedule")]

    operations: ClassVar = [TableScript("0040_fact_write_cost")]
