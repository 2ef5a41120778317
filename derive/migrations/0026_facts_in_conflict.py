"""An index for the list of facts in conflict."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """An index."""

    dependencies: ClassVar = [("derive", "0025_facts_seen")]

    operations: ClassVar = [TableScript("0036_facts_in_conflict")]
