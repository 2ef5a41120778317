"""``manage.py set_up_lake``: adopts the lake at LAKE_URL on an operator's request."""

import sys
from typing import Any

from django.conf import settings
from django.db import connection

from derive.errors import HolocronError
from derive.management.quick_command import QuickCommand
from derive.sql.scripts import check_schema

COULD_NOT_SET_UP = 2


class Command(QuickCommand):
    """Adopt the lake at LAKE_URL as it is, or create it."""

    help = (
        "Adopts the lake at LAKE_URL as this database's, whatever it contains: writes lake.json at its root if it is "
        "missing, and records its id in SQL. Needed only when workers refuse the lake, for example after files were "
        "lost for good; a new lake, or one from an earlier version, is adopted automatically. Restart the workers "
        "afterwards. Exit codes: 0 done, 2 error."
    )

    def handle(self, *_args: Any, **_given: Any) -> None:
        """Adopt the lake and exit with the code."""
        from derive.lake import Lake
        from derive.lake_identity import take_lake

        try:
            check_schema(connection)
            lake_id = take_lake(Lake.open(settings.LAKE_URL))
        except HolocronError as error:
            self.stderr.write(f"set_up_lake: {error}")
            sys.exit(COULD_NOT_SET_UP)
        self.stdout.write(f"the lake {lake_id} is this database's")
