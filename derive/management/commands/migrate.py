"""``manage.py migrate``: Django's own, by one process at a time."""

from typing import Any

from django.core.management.commands import migrate
from django.db import connections
from typing_extensions import override

from derive.sql.migration_lock import migration_lock_held


class Command(migrate.Command):
    """Django's migrate; a second process waits, and then finds nothing to do."""

    @override
    def handle(self, *args: Any, **options: Any) -> None:
        """Migrate under a lock of the whole database."""
        if options["plan"] or options["check_unapplied"]:
            super().handle(*args, **options)
            return
        with migration_lock_held(connections[options["database"]], on_wait=self._print_waiting):
            super().handle(*args, **options)

    def _print_waiting(self) -> None:
        self.stderr.write("migrate: another process is migrating this database; waiting for it to end")
