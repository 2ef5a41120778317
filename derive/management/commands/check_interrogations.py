"""``manage.py check_interrogations``: whether the model server takes the schemas of the interrogations installed."""

import sys
from argparse import ArgumentParser
from typing import Any

from derive.management.quick_command import QuickCommand


class Command(QuickCommand):
    """Send each schema with a question of one token, and say what the server makes of it."""

    help = (
        "Asks the model server whether it takes each interrogation's schema, by a question of one token. Workers claim "
        "no job of a definition that is refused; what is found here, of the configured server, is what they go by. "
        "Exit codes: 0 all are taken, 1 some are refused, 2 could not start or go on."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--server", metavar="URL", help="ask this server, and report nothing to the workers")
        parser.add_argument("--json", action="store_true", help="a line of JSON for each interrogation")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Ask, say what came of it, and exit with the code."""
        from derive.management.schema_checking import SchemaChecking

        sys.exit(SchemaChecking(stdout=self.stdout, stderr=self.stderr).run(given))
