"""``manage.py verify_audit``: compares the sealed history with SQL and the lake."""

import json
import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from typing import Any

from django.conf import settings
from django.db import connection

from derive.errors import HolocronError
from derive.management.quick_command import QuickCommand
from derive.sql.scripts import check_schema

ALL_VERIFY, FINDINGS, COULD_NOT_START = 0, 1, 2
_HEAD = re.compile(r"([0-9]{1,15}):([0-9a-f]{64})")
EXAMPLES = """
examples:
  manage.py verify_audit                       the chain, every row and every file's bytes
  manage.py verify_audit --quick               files by size only
  manage.py verify_audit --head 42:9f86d0…     against a head stored elsewhere; may be repeated

Prints one line per finding: what, which, changed, missing or inserted, and why. Someone who can write to both the
database and the lake can make them agree; only a head stored elsewhere detects that (docs/sealing.md).
exit codes: 0 everything verifies, 1 findings, 2 error
"""


def _head(text: str) -> tuple[int, str]:
    match = _HEAD.fullmatch(text)
    if match is None:
        raise ArgumentTypeError(
            f"{text!r} is not a head: write it as seal_audit prints it, 42: and 64 hexadecimal digits"
        )
    return int(match[1]), match[2]


class Command(QuickCommand):
    """Verify the sealed history and print what was tampered with."""

    help = "Verifies the sealed history: finds what was changed, removed or inserted in SQL and in the lake."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EXAMPLES
        parser.add_argument("--quick", action="store_true", help="check files' sizes, not their bytes")
        parser.add_argument(
            "--head", type=_head, action="append", default=[], metavar="SEAL:SHA256", help="a head stored elsewhere"
        )
        parser.add_argument("--json", action="store_true", help="print one line of JSON per finding, then the summary")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Verify, and exit with the code."""
        from derive.alerts.verifications import HISTORY, record_verification
        from derive.lake import Lake
        from derive.sealing.verification import AuditVerification

        try:
            check_schema(connection)
            lake = Lake.open(settings.LAKE_URL)
            verification = AuditVerification(lake, quick=given["quick"], noted=dict(given["head"]))
            for finding in verification.found():
                self.stdout.write(json.dumps(finding.plain()) if given["json"] else finding.line())
        except KeyboardInterrupt:
            self.stderr.write("verify_audit: stopped early")
            sys.exit(COULD_NOT_START)
        except HolocronError as error:
            self.stderr.write(f"verify_audit: {error}")
            sys.exit(COULD_NOT_START)
        summary = verification.summary
        record_verification(HISTORY, findings=summary.findings, is_whole=not given["quick"])
        self.stdout.write(json.dumps(summary.plain()) if given["json"] else summary.line())
        sys.exit(FINDINGS if summary.findings else ALL_VERIFY)
