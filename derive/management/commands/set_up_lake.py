"""``manage.py set_up_lake``: makes what stands at LAKE_URL this database's lake, because an operator says so."""

import sys
from typing import Any

from django.conf import settings
from django.db import connection

from derive.errors import HolocronError
from derive.management.quick_command import QuickCommand
from derive.sql.scripts import check_schema

COULD_NOT_SET_UP = 2


class Command(QuickCommand):
    """Take the lake at LAKE_URL as it is, or make it."""

    help = (
        "Makes what stands at LAKE_URL this database's lake, whatever it holds: writes lake.json at its root where "
        "that is missing, and puts its id on record in SQL. Needed only where a worker refuses the lake, for example "
        "after files were lost for good; a new lake, and that of an earlier version, are taken without it. Restart "
        "the workers afterwards. Exit codes: 0 done, 2 not."
    )

    def handle(self, *_args: Any, **_given: Any) -> None:
        """Take the lake and exit with the code."""
        from derive.lake import Lake
        from derive.lake_identity import take_lake

        try:
            check_schema(connection)
            lake_id = take_lake(Lake.open(settings.LAKE_URL))
        except HolocronError as error:
            self.stderr.write(f"set_up_lake: {error}")
            sys.exit(COULD_NOT_SET_UP)
        self.stdout.write(f"the lake {lake_id} is this database's")
