"""``manage.py backup DIR``: the database and the lake in one folder."""

import argparse
import json
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser
from django.db import connection

from derive.errors import HolocronError
from derive.management.quick_command import QuickCommand
from derive.sql.scripts import check_schema

_EXAMPLES = """examples:
  manage.py backup /mnt/backup/holocron      database and lake; again: a new dump, and only the lake's new files

Workers may run meanwhile: the database is dumped in one snapshot, and the lake copied after it. Until the new backup is
whole, the one before stays usable. For PostgreSQL, the embedded one too; docs/backup.md has SQL Server.
Exit codes: 0 backed up, 2 error.
"""
DONE, ERROR = 0, 2


class Command(QuickCommand):
    """Back up database and lake."""

    help = "Writes a backup of the database and the lake into a folder; restore reads it."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Keep the line breaks of the examples."""
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.epilog = _EXAMPLES
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("folder", metavar="DIR", type=Path, help="the backup's folder; created if it is missing")
        parser.add_argument("--json", action="store_true", help="print the backup's document")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Back up, and exit with the code."""
        from derive.backup.making import make_backup
        from derive.lake import Lake
        from derive.management.copy_progress import copy_progress
        from derive.worker.run_record import HOLOCRON_VERSION

        try:
            check_schema(connection)
            with copy_progress() as show:
                done = make_backup(
                    given["folder"].absolute(),
                    Lake.open(settings.LAKE_URL),
                    holocron_version=HOLOCRON_VERSION,
                    on_progress=show,
                )
        except KeyboardInterrupt:
            self.stderr.write("backup: stopped early; an earlier backup in this folder is still whole")
            sys.exit(ERROR)
        except HolocronError as error:
            self.stderr.write(f"backup: {error}")
            sys.exit(ERROR)
        if given["json"]:
            self.stdout.write(json.dumps(done.document.model_dump(mode="json")))
        else:
            document, copied = done.document, done.copied
            self.stdout.write(
                f"backed up {document.counts['job']:,} jobs and {document.counts['run']:,} runs "
                f"({document.database.byte_count:,} bytes), and {copied.files:,} new files of the lake "
                f"({copied.bytes:,} bytes; {copied.skipped:,} were there)"
            )
