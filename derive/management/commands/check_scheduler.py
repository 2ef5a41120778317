"""``manage.py check_scheduler``: whether the scheduler of this machine, or container, is at work."""

import socket
import sys
from typing import Any

from derive.errors import HolocronError
from derive.management.quick_command import QuickCommand
from derive.schedules.heartbeats import ALIVE_SECONDS, heartbeat_age_on

AT_WORK, SILENT, COULD_NOT_ASK = 0, 1, 2


class Command(QuickCommand):
    """Look for a fresh heartbeat of this host's scheduler, and exit by it."""

    help = (
        "Tells from the database whether a scheduler (manage.py qcluster) of this machine, or container, was heard of "
        f"within {ALIVE_SECONDS:.0f} s. Exit codes: 0 it was, 1 it was not, 2 the database could not be asked."
    )

    def handle(self, *_args: Any, **_given: Any) -> None:
        """Look, say what was seen, and exit with the code."""
        host = socket.gethostname()
        try:
            age = heartbeat_age_on(host)
        except HolocronError as error:
            self.stderr.write(f"check_scheduler: {error}")
            sys.exit(COULD_NOT_ASK)
        if age is None:
            self.stderr.write(f"check_scheduler: no scheduler of {host} is known: start manage.py qcluster")
            sys.exit(SILENT)
        if age > ALIVE_SECONDS:
            self.stderr.write(
                f"check_scheduler: the scheduler of {host} was last heard of {age:.0f} s ago: start manage.py qcluster"
            )
            sys.exit(SILENT)
        self.stdout.write(f"the scheduler of {host} was heard of {age:.0f} s ago")
        sys.exit(AT_WORK)
