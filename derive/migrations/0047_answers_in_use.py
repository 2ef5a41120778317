"""Views whose admitted facts are those of answers in use."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """``llm.v_entity_fact`` and ``llm.v_admitted_fact``."""

    dependencies: ClassVar = [("derive", "0046_recurring_batches")]

    operations: ClassVar = [TableScript("0050_answers_in_use")]
