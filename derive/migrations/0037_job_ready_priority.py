"""The models of a priority, for claims that may not take every model."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """An index of ``llm.job``."""

    dependencies: ClassVar = [("derive", "0033_fact_write_cost")]

    operations: ClassVar = [TableScript("0043_job_ready_priority")]
