"""What a purge seeks by, what a dedupe key's holder is found by, and where jobs wait to be queued as a whole."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """Two indexes of ``llm.job``, and ``llm.staged_jobs``."""

    dependencies: ClassVar = [("derive", "0016_lake")]

    operations: ClassVar = [
        TableScript("0022_purge_index"),
        TableScript("0023_dedupe_status"),
        TableScript("0024_staged_jobs"),
    ]
