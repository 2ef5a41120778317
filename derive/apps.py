"""The app, and what it adds to ``manage.py migrate``."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class DeriveConfig(AppConfig):
    """Holocron's app."""

    name = "derive"
    verbose_name = "Holocron"

    def ready(self) -> None:
        """Let every migrate, that of a test database too, end with this tree's procedures and schedules."""
        from derive.schedules.installing import install_schedules_after_migrate
        from derive.sql.migrating import install_procedures_after_migrate

        post_migrate.connect(install_procedures_after_migrate, sender=self, dispatch_uid="derive.procedures")
        post_migrate.connect(install_schedules_after_migrate, sender=self, dispatch_uid="derive.schedules")
