"""What waits for each model, for autoscalers."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """``llm.v_backlog``."""

    dependencies: ClassVar = [("derive", "0049_experiment")]

    operations: ClassVar = [TableScript("0053_backlog")]
