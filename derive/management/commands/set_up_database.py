"""``manage.py set_up_database``: prepares a database server; the only command that needs an administrator."""

import sys
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from derive.errors import HolocronError
from derive.management.first_superuser import check_admin_password, make_first_superuser
from derive.management.quick_command import QuickCommand
from derive.sql.set_up.logins import WEB_LOGIN, WORKER_LOGIN, logins_of
from derive.sql.set_up.steps import set_up

COULD_NOT_SET_UP = 2


class Command(QuickCommand):
    """Create the database, migrate it, and create the processes' logins and the first account."""

    help = (
        "Creates and migrates the database that DATABASE_URL names, and creates the logins holocron_worker (role "
        "llm_worker) and holocron_web (role llm_operator and Django's own tables) with the passwords in "
        "HOLOCRON_WORKER_PASSWORD and HOLOCRON_WEB_PASSWORD. If the site has no superuser, creates the account admin "
        "with the password in HOLOCRON_ADMIN_PASSWORD. DATABASE_URL must name an administrator here; no other command "
        "needs one. Safe to repeat: logins get the passwords set now, an existing account keeps its password. "
        "Exit codes: 0 ready, 2 error."
    )

    def handle(self, *_args: Any, **given: Any) -> None:
        """Set up and exit with the code."""
        if not connection.settings_dict.get("HOST") and "EMBEDDED_FOLDER" in connection.settings_dict:
            self.stderr.write("set_up_database: the embedded PostgreSQL needs no set-up: run manage.py migrate")
            sys.exit(COULD_NOT_SET_UP)
        try:
            logins = logins_of({
                WORKER_LOGIN: settings.HOLOCRON_WORKER_PASSWORD,
                WEB_LOGIN: settings.HOLOCRON_WEB_PASSWORD,
            })  # fmt: skip
            if settings.HOLOCRON_ADMIN_PASSWORD:
                check_admin_password(settings.HOLOCRON_ADMIN_PASSWORD)
            for line in set_up(connection, logins, migrate=lambda: _migrate(given["verbosity"])):
                self.stdout.write(line)
            if settings.HOLOCRON_ADMIN_PASSWORD:
                self.stdout.write(make_first_superuser(settings.HOLOCRON_ADMIN_PASSWORD))
        except (HolocronError, CommandError) as error:
            self.stderr.write(f"set_up_database: {error}")
            sys.exit(COULD_NOT_SET_UP)


def _migrate(verbosity: int) -> None:
    call_command("migrate", interactive=False, verbosity=max(0, verbosity - 1))
