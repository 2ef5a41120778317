"""``manage.py check_scheduler``: is this machine's or container's scheduler running?"""

import socket
import sys
from typing import Any

from derive.errors import HolocronError
from derive.management.quick_command import QuickCommand
from derive.schedules.heartbeats import ALIVE_SECONDS, heartbeat_age_on

AT_WORK, SILENT, COULD_NOT_ASK = 0, 1, 2


class Command(QuickCommand):
    """Exit with 0 if this host's scheduler has sent a recent heartbeat."""

    help = (
        "Checks whether the scheduler (manage.py qcluster) of this host or container sent a heartbeat within the last "
        f"{ALIVE_SECONDS:.0f} s. Exit codes: 0 it did, 1 it did not, 2 the database cannot be read."
    )

    def handle(self, *_args: Any, **_given: Any) -> None:
        """Run the check and exit with its code."""
        host = socket.gethostname()
        try:
            age = heartbeat_age_on(host)
        except HolocronError as error:
            self.stderr.write(f"check_scheduler: {error}")
            sys.exit(COULD_NOT_ASK)
        if age is None:
            self.stderr.write(f"check_scheduler: no scheduler on {host}: start manage.py qcluster")
            sys.exit(SILENT)
        if age > ALIVE_SECONDS:
            self.stderr.write(
                f"check_scheduler: last heartbeat from {host} was {age:.0f} s ago: start manage.py qcluster"
            )
            sys.exit(SILENT)
        self.stdout.write(f"last heartbeat from {host} was {age:.0f} s ago")
        sys.exit(AT_WORK)
