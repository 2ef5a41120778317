from django.core.management.base import BaseCommand


class QuickCommand(BaseCommand):
    """A command that starts at once, whatever state the database is in.

    Django's checks would load every page and address first, which takes as long again as all else that a command needs
    to start. They are of the tree: ``manage.py check`` looks at it once for all commands.
    """

    requires_system_checks = ()
