"""``manage.py restore DIR``: a backup into an empty database and lake."""

import argparse
import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from derive.errors import HolocronError
from derive.management.quick_command import QuickCommand

_EXAMPLES = """examples:
  HOLOCRON_VAR=var2 manage.py restore /mnt/backup/holocron     into a new embedded database and lake
  manage.py restore /mnt/backup/holocron --no-verify           without verifying afterwards

DATABASE_URL must name an empty database, and LAKE_URL an empty place: nothing is restored over something. The lake
comes first, then the database in one transaction; interrupted, start it again. Then the sealed history and a sample of
about 1,000 runs are verified. Logins are not in a backup: run set_up_database afterwards.
Exit codes: 0 restored and verified, 1 restored, but something does not verify, 2 error.
"""
DONE, FINDINGS, ERROR = 0, 1, 2
SAMPLE_RUNS = 1_000


class Command(QuickCommand):
    """Restore database and lake."""

    help = "Restores a backup into an empty database and an empty lake, and verifies it."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the line breaks of the examples."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.epilog = _EXAMPLES
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("folder", metavar="DIR", type=Path, help="the folder that backup wrote")
        parser.add_argument("--no-verify", action="store_true", help="do not verify afterwards")
        parser.add_argument("--json", action="store_true", help="print the restored backup's document and the findings")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Restore, verify, and exit with the code."""
        from derive.backup.restoring import restore_backup
        from derive.lake import Lake
        from derive.management.copy_progress import copy_progress

        lake = Lake.open(settings.LAKE_URL)
        findings: list[str] = []
        try:
            with copy_progress() as show:
                done = restore_backup(given["folder"].absolute(), lake, on_progress=show)
            if not given["no_verify"]:
                findings = _verify(lake, runs=done.document.counts["run"])
        except KeyboardInterrupt:
            self.stderr.write("restore: stopped early; start it again")
            sys.exit(ERROR)
        except HolocronError as error:
            self.stderr.write(f"restore: {error}")
            sys.exit(ERROR)
        if given["json"]:
            self.stdout.write(json.dumps({**done.document.model_dump(mode="json"), "findings": findings}))
        else:
            self.stdout.write(
                f"restored {done.document.counts['job']:,} jobs and {done.document.counts['run']:,} runs, as of "
                f"{done.document.made_utc:%Y-%m-%d %H:%M:%S} UTC, and {done.copied.files:,} files of the lake"
            )
            for line in findings:
                self.stdout.write(line)
            if not given["no_verify"] and not findings:
                self.stdout.write("The sealed history and a sample of the runs verify.")
        sys.exit(FINDINGS if findings else DONE)


def _verify(lake: Any, *, runs: int) -> list[str]:
    """Return a line for each finding in the sealed history and in a sample of the runs."""
    from derive.sealing.verification import AuditVerification
    from derive.verify.checkers import Checkers
    from derive.verify.findings import Finding
    from derive.verify.reading import RunSelection, Shard
    from derive.verify.verification import Verification

    lines = [found.line() for found in AuditVerification(lake, quick=True).found()]
    sample = RunSelection(shard=Shard(1, max(1, runs // SAMPLE_RUNS)))
    with Checkers.fitting(
        settings.LAKE_URL, settings.INTERROGATIONS_FOLDER, quick=False, runs=min(runs, SAMPLE_RUNS)
    ) as checkers:
        verification = Verification(lake, checkers, selection=sample)
        lines += [found.line() for found in verification.found() if isinstance(found, Finding)]
    return lines
