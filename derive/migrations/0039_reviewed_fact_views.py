"""Views that show where a corrected fact stands."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """``llm.v_entity_fact`` and ``llm.v_admitted_fact``."""

    dependencies: ClassVar = [("derive", "0038_fact_review")]

    operations: ClassVar = [TableScript("0045_reviewed_fact_views")]
