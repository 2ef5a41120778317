"""Extends ``manage.py migrate``: runs the script that a migration names, and updates the procedures."""

import sys
from importlib import import_module
from typing import Any

from django.core.management.base import CommandError
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import CreateModel
from django.db.migrations.operations.base import Operation
from django.db.migrations.recorder import MigrationRecorder
from django.db.migrations.state import ProjectState
from typing_extensions import override

from derive.errors import HolocronError, SchemaMismatch
from derive.sql.roles import missing_roles_notice
from derive.sql.scripts import (
    TABLES,
    apply_table_script,
    install_procedures,
    read_script,
    read_scripts,
    recorded_hashes,
)
from derive.sql.tables import db_table, engine_of


class TableScript(Operation):
    """Runs one script of ``migrations_sql/<engine>/tables``, named without its ``.sql``."""

    reduces_to_sql = False
    reversible = False

    def __init__(self, name: str) -> None:
        self.name = name

    @override
    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Change nothing: Django's state contains only the unmanaged models."""

    @override
    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Run the script and record its hash; for ``sqlmigrate``, only print it."""
        connection: BaseDatabaseWrapper = schema_editor.connection
        if schema_editor.collect_sql:
            schema_editor.collected_sql.append(read_script(engine_of(connection), f"{TABLES}/{self.name}.sql").text)
        else:
            try:
                apply_table_script(connection, self.name)
            except HolocronError as error:
                raise CommandError(str(error)) from error

    @override
    def describe(self) -> str:
        """Return the line that ``migrate --plan`` shows."""
        return f"Run the script tables/{self.name}.sql"


def reading_model(name: str, *, table: str, key: tuple[str, "models.Field[Any, Any]"], plural: str) -> CreateModel:
    """Return the operation that adds an unmanaged model to Django's state, with only the columns the models read."""
    options = {
        "managed": False,
        "abstract": False,
        "default_permissions": ("view",),
        "db_table": db_table(table),
        "verbose_name": plural.removesuffix("s"),
        "verbose_name_plural": plural,
    }
    return CreateModel(name, [key], options)


def install_procedures_after_migrate(*, using: str, verbosity: int = 0, **_signal: Any) -> None:
    """Install procedures that differ from this tree's; a ``post_migrate`` receiver, so that test databases get them."""
    try:
        names = install_procedures(connections[using])
        _refuse_lost_records(connections[using])
    except SchemaMismatch as error:
        raise CommandError(str(error)) from error
    if notice := missing_roles_notice(connections[using]):
        print(notice, file=sys.stderr)  # noqa: T201 (needed even with --verbosity 0)
    if names and verbosity >= 1:
        print(f"  Installed {len(names)} procedure scripts.")  # noqa: T201 (migrate reports progress on standard output)


def _refuse_lost_records(connection: BaseDatabaseWrapper) -> None:
    """Raise SchemaMismatch if an applied migration's script is not on record, since migrate would not rerun it."""
    unrecorded = {s.name for s in read_scripts(engine_of(connection), TABLES)} - recorded_hashes(connection).keys()
    if not unrecorded:
        return
    applied = (name for app, name in MigrationRecorder(connection).applied_migrations() if app == "derive")
    ran = {f"{TABLES}/{script}.sql" for name in applied for script in _scripts_of(name)}
    if lost := sorted(unrecorded & ran):
        raise SchemaMismatch(
            f"llm.schema_script does not have scripts that were run: {', '.join(lost)}. Restore its rows from a "
            "backup, or begin with an empty database"
        )


def _scripts_of(migration: str) -> list[str]:
    """Return the scripts that a migration runs; empty for a migration that this tree does not have."""
    try:
        steps = import_module(f"derive.migrations.{migration}").Migration.operations
    except ModuleNotFoundError:
        return []
    return [step.name for step in steps if isinstance(step, TableScript)]
