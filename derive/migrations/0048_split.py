"""Jobs in parts: the state SPLIT, and what a part knows of its parent."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """Columns, indexes and checks of ``llm.job``, and the view of parts."""

    dependencies: ClassVar = [("derive", "0047_answers_in_use")]

    operations: ClassVar = [TableScript("0051_split")]
