"""The app's configuration, which prepares each connection and extends ``manage.py migrate``."""

from typing import Any

from django.apps import AppConfig
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate
from typing_extensions import override


class DeriveConfig(AppConfig):
    """Holocron's app."""

    name = "derive"
    verbose_name = "Holocron"

    @override
    def ready(self) -> None:
        """Prepare every new connection, and install this tree's procedures and schedules after every migrate."""
        connection_created.connect(_prepare_session, dispatch_uid="derive.sessions")
        post_migrate.connect(_install_procedures, sender=self, dispatch_uid="derive.procedures")
        post_migrate.connect(_install_schedules, sender=self, dispatch_uid="derive.schedules")


# Imported on first use, because every command starts here and not all of them need a database.


def _prepare_session(**signal: Any) -> None:
    from derive.sql.sessions import prepare_session

    prepare_session(**signal)


def _install_procedures(**signal: Any) -> None:
    from derive.sql.migrating import install_procedures_after_migrate

    install_procedures_after_migrate(**signal)


def _install_schedules(**signal: Any) -> None:
    from derive.schedules.installing import install_schedules_after_migrate

    install_schedules_after_migrate(**signal)
