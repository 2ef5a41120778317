"""Which lake holds this database's files."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """One table of one row; read and written by a procedure, so that no model stands on it."""

    dependencies: ClassVar = [("derive", "0018_schema_refusals")]

    operations: ClassVar = [TableScript("0027_lake")]
