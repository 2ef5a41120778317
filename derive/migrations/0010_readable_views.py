"""The views anew: no stored document can fail them, and a fact names its answer's file."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """Views only; no model stands on them."""

    dependencies: ClassVar = [("derive", "0008_schedules")]

    operations: ClassVar = [TableScript("0019_views")]
