"""What ``manage.py migrate`` does beyond Django: a migration names a script, procedures follow the tree."""

from typing import Any

from django.core.management.base import CommandError
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import CreateModel
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState
from typing_extensions import override

from derive.errors import SchemaMismatch
from derive.sql.scripts import TABLES, apply_table_script, install_procedures, read_script
from derive.sql.tables import db_table, engine_of


class TableScript(Operation):
    """Runs one script of ``migrations_sql/<engine>/tables``, named without its ``.sql``."""

    reduces_to_sql = False
    reversible = False

    def __init__(self, name: str) -> None:
        self.name = name

    @override
    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Change nothing: Django's state knows only the unmanaged models."""

    @override
    def database_forwards(
        self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        """Run the script and record its hash; for ``sqlmigrate`` only show it."""
        connection: BaseDatabaseWrapper = schema_editor.connection
        if schema_editor.collect_sql:
            schema_editor.collected_sql.append(read_script(engine_of(connection), f"{TABLES}/{self.name}.sql").text)
        else:
            apply_table_script(connection, self.name)

    @override
    def describe(self) -> str:
        """Return the line that ``migrate --plan`` shows."""
        return f"Run the script tables/{self.name}.sql"


def reading_model(name: str, *, table: str, key: tuple[str, "models.Field[Any, Any]"], plural: str) -> CreateModel:
    """Return the operation that tells Django's state of an unmanaged model; other columns are not Django's."""
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
    """Bring the procedures to this tree's text; as ``post_migrate`` it serves test databases too."""
    try:
        names = install_procedures(connections[using])
    except SchemaMismatch as error:
        raise CommandError(str(error)) from error
    if names and verbosity >= 1:
        print(f"  Installed {len(names)} procedure scripts.")  # noqa: T201 (migrate tells its progress on standard output)
