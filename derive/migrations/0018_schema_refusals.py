"""Which definitions the model server refuses."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """Two columns of ``llm.interrogation``."""

    dependencies: ClassVar = [("derive", "0013_seals_and_purges_seen")]

    operations: ClassVar = [TableScript("0029_schema_refusals")]
