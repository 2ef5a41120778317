"""The facts' view without a cast that can fail."""

from typing import ClassVar

from django.db import migrations

from derive.sql.migrating import TableScript


class Migration(migrations.Migration):
    """A view only; no model stands on it."""

    dependencies: ClassVar = [("derive", "0014_purges_dedupe_stages")]

    operations: ClassVar = [TableScript("0030_fact_view")]
