"""``manage.py check_interrogations``: does the model server accept the installed interrogations' schemas?"""

import sys
from argparse import ArgumentParser
from typing import Any

from derive.management.quick_command import QuickCommand


class Command(QuickCommand):
    """Send each schema in a one-token request and print whether the server accepts it."""

    help = (
        "Checks whether the model server accepts each interrogation's output schema, by asking for one token. Workers "
        "do not claim jobs whose schema is refused, and follow the result of this check of the configured server. "
        "Exit codes: 0 all accepted, 1 some refused, 2 error."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--server", metavar="URL", help="check this server instead; workers do not see the result")
        parser.add_argument("--json", action="store_true", help="print one line of JSON per interrogation")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Run the check and exit with its code."""
        from derive.management.schema_checking import SchemaChecking

        sys.exit(SchemaChecking(stdout=self.stdout, stderr=self.stderr).run(given))
