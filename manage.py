#!/usr/bin/env python
"""Runs a management command: ``python manage.py COMMAND``; ``python manage.py help`` lists them."""

import gc
import os
import sys

COULD_NOT_START = 2


def main() -> int:
    """Run the command that the arguments name; return the exit code.

    A database that cannot be used is one line that says what to do. With ``--traceback`` it is the whole story.
    """
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "holocron.settings")
    gc.disable()  # what a start makes stays: to look it over again and again is a sixth of the start
    import django
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError, InterfaceError

    from holocron.database_errors import describe
    from holocron.standard_streams import make_writable

    make_writable()
    try:
        django.setup()
        gc.freeze()
        gc.enable()
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
