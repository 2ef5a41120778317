"""``manage.py deliver``: writes answers in use into the tables that derivations declare as their targets."""

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from datetime import UTC, datetime
from getpass import getuser
from typing import TYPE_CHECKING, Any

from django.db import connection

from derive.errors import HolocronError
from derive.management.quick_command import QuickCommand
from derive.sql.scripts import check_schema

if TYPE_CHECKING:
    from derive.deliveries.delivering import Delivered
    from derive.derivations.declarations import Declared

DONE, SOME_LEFT, COULD_NOT_START, STOPPED = 0, 1, 2, 130
_EXAMPLES = """
examples:
  manage.py deliver                                every derivation that declares a target
  manage.py deliver planet-facts                   this one
  manage.py deliver planet-facts --dry-run         what waits, and whether its table fits; changes nothing
  manage.py deliver planet-facts --all             every answer in use once more, also those delivered already

KEY is a derivation with a [derivation.target] in the file that HOLOCRON_SOURCES names. deliver can be repeated or
interrupted at any time: a row is written and its change taken from the outbox in one transaction.
exit codes: 0 all is delivered, 1 something waits or was refused, 2 error
"""


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 2**53:
        raise ArgumentTypeError(f"{text[:40]!r} is not a whole number from 1")
    return int(text)


class Command(QuickCommand):
    """Deliver what waits."""

    help = "Writes answers in use into the tables that derivations declare as their targets."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = _EXAMPLES
        parser.add_argument("key", nargs="?", metavar="KEY", help="the derivation (default: all with a target)")
        parser.add_argument("--max-rows", type=_count, metavar="N", help="deliver at most so many changes of each")
        parser.add_argument("--all", action="store_true", help="deliver every answer in use once more; needs KEY")
        parser.add_argument("--dry-run", action="store_true", help="tell what waits, and change nothing")
        parser.add_argument("--json", action="store_true", help="print one line of JSON")
        parser.add_argument("--actor", metavar="NAME", help="who does it (default: the system user)")

    def handle(self, *_arguments: Any, **given: Any) -> None:
        """Deliver, and exit with the code."""
        try:
            check_schema(connection)
            code = self._deliver(given)
        except KeyboardInterrupt:
            self.stderr.write("deliver: stopped; what was written until then stays, and the next call goes on")
            code = STOPPED
        except HolocronError as error:
            self.stderr.write(f"deliver: {str(error).strip().partition(chr(10))[0]}")
            code = COULD_NOT_START
        sys.exit(code)

    def _deliver(self, given: dict[str, Any]) -> int:
        from derive.deliveries.delivering import find_targets
        from derive.deliveries.document import delivered_document
        from derive.errors import ConfigurationError
        from derive.management.delivery_texts import delivered_text

        if given["all"] and given["key"] is None:
            raise ConfigurationError("--all needs KEY: the derivation whose answers are to be delivered once more")
        found = find_targets(given["key"])
        every = []
        for declared in found:
            done = self._one(declared, given)
            every.append(done)
            if not given["json"]:
                self.stdout.write(delivered_text(done, is_dry_run=given["dry_run"]))
        if given["json"]:
            documents = [delivered_document(done) for done in every]
            self.stdout.write(json.dumps({"deliveries": documents}, ensure_ascii=False, default=_as_json))
        elif not every:
            self.stdout.write("no derivation declares a target: write a [derivation.target] table in the file")
        is_done = all(one.problem is None and not one.outbox.waiting and not one.outbox.refused for one in every)
        return DONE if is_done else SOME_LEFT

    def _one(self, declared: "Declared", given: dict[str, Any]) -> "Delivered":
        from derive.deliveries.delivering import deliver, look
        from derive.queue import JobQueue

        if given["dry_run"]:
            return look(declared)
        return deliver(
            declared,
            JobQueue(),
            actor=given["actor"] or getuser(),
            max_rows=given["max_rows"],
            restart=given["all"],
        )


def _as_json(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
