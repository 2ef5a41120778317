"""A cheaper table of facts."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """Checks and an index of ``llm.fact``."""

    dependencies: ClassVar = [("derive", "0026_facts_in_conflict")]

    operations: ClassVar = [TableScript("0034_fact_cost")]
