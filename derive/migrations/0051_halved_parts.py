"""What a part reads since its window was halved."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """A column of ``llm.job``, and the view of parts with it."""

    dependencies: ClassVar = [("derive", "0050_backlog")]

    operations: ClassVar = [TableScript("0054_halved_parts")]
