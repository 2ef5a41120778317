"""What the engines that speak T-SQL need: strings out of JSON read alike, and row locks that stay row locks."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """A function and three tables' options; PostgreSQL needs neither."""

    dependencies: ClassVar = [("derive", "0010_readable_views")]

    operations: ClassVar = [TableScript("0020_json_text_and_locks")]
