"""The facts' views on the facts' table."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """Views only; no model stands on them."""

    dependencies: ClassVar = [("derive", "0021_fact")]

    operations: ClassVar = [TableScript("0033_fact_views")]
