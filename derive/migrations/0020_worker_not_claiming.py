"""Why a worker claims nothing."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """A column of ``llm.worker``."""

    dependencies: ClassVar = [("derive", "0019_fact_view")]

    operations: ClassVar = [TableScript("0031_worker_not_claiming")]
