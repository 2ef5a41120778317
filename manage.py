#!/usr/bin/env python
"""Runs a management command: ``python manage.py COMMAND``; ``python manage.py help`` lists them."""

import os
import sys

COULD_NOT_START = 2


def main() -> int:
    """Run the command that the arguments name; return the exit code.

    A database that cannot be used is one line that says what to do. With ``--traceback`` it is the whole story.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "holocron.settings")
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError, InterfaceError

    from holocron.database_errors import describe
    from holocron.standard_streams import make_writable

    make_writable()
    try:
        execute_from_command_line(sys.argv)
    except (DatabaseError, InterfaceError, ImproperlyConfigured) as error:
        line = describe(error, database=settings.DATABASES["default"])
        if line is None or "--traceback" in sys.argv:
            raise
        print(f"holocron: {line}", file=sys.stderr)
        return COULD_NOT_START
    return 0


if __name__ == "__main__":
    sys.exit(main())
