"""What happened by the hour, for the dashboard and other readers."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """Counts and histograms by the hour, and how far the counting has come; no model stands on them."""

    dependencies: ClassVar = [("derive", "0004_reading")]

    operations: ClassVar = [TableScript("0014_stat_hour")]
