"""``manage.py seal_audit``: hashes new events into the chain of seals, and prints its head."""

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from dataclasses import asdict
from typing import Any

from django.conf import settings
from django.db import connection

from derive.errors import HolocronError
from derive.management.quick_command import QuickCommand
from derive.plural import plural
from derive.sql.scripts import check_schema

SEALED, HELD_BACK, COULD_NOT_START = 0, 1, 2
EXAMPLES = """
Run it on a schedule. It may be interrupted, and two may run at once. Store the head it prints where nobody with write
access to the database or the lake can change it (docs/sealing.md), and pass it to verify_audit --head.

exit codes: 0 everything is sealed, 1 an open transaction delays the rest, 2 error
"""


class Command(QuickCommand):
    """Seal the history as far as it is settled."""

    help = "Seals the history: hashes every event, with its jobs, runs and artifacts, into a chain."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("--json", action="store_true", help="print one line of JSON")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Seal, print the head, exit with the code."""
        from derive.lake_identity import open_own_lake
        from derive.sealing.chain import SEAL_EVENTS, seal_history

        try:
            check_schema(connection)
            report = seal_history(open_own_lake(settings.LAKE_URL), batch_events=SEAL_EVENTS)
        except KeyboardInterrupt:
            self.stderr.write("seal_audit: stopped early; the next run continues")
            sys.exit(COULD_NOT_START)
        except HolocronError as error:
            self.stderr.write(f"seal_audit: {error}")
            sys.exit(COULD_NOT_START)
        if given["json"]:
            self.stdout.write(json.dumps(asdict(report) | {"settled_utc": report.settled_utc.isoformat()}))
        else:
            self.stdout.write(
                f"sealed {plural(report.events, 'event')} in {plural(report.seals, 'seal')}; head {report.head_line}"
            )
        if not report.is_settled:
            self.stderr.write(
                "seal_audit: an open transaction may still add older events; the rest is sealed once it ends"
            )
        sys.exit(SEALED if report.is_settled else HELD_BACK)
