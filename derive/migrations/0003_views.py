"""The views that people and other programs read."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """Jobs, runs and facts as views; no model stands on them."""

    dependencies: ClassVar = [("derive", "0002_rights")]

    operations: ClassVar = [TableScript("0012_views")]
