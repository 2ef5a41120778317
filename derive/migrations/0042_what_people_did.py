"""Indexes of what people did, enqueues and reviews among it."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """Indexes of ``llm.job_event``."""

    dependencies: ClassVar = [("derive", "0039_reviewed_fact_views")]

    operations: ClassVar = [TableScript("0047_what_people_did")]
