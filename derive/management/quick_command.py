from django.core.management.base import BaseCommand


class QuickCommand(BaseCommand):
    """A command that starts fast, whatever the state of the database.

    Django's system checks would load every page and URL first, which doubles the start time. They only concern the
    tree: ``manage.py check`` runs them once for all commands.
    """

    requires_system_checks = ()
