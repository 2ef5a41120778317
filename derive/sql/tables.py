"""The engine this process uses, and the names of its tables in the schema ``llm``.

Django 5.2 has no option for a schema. Both backends leave a quoted name as it is, so ``db_table`` contains the quoted
schema and table. Models and migrations both take it from here, so ``makemigrations --check`` finds no difference on
either engine.
"""

from enum import StrEnum

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

SCHEMA = "llm"


class Engine(StrEnum):
    """The engines, named after their folders in ``migrations_sql``."""

    POSTGRESQL = "postgresql"
    SQLSERVER = "sqlserver"


def engine_of(connection: BaseDatabaseWrapper) -> Engine:
    """Return which engine a Django connection talks to."""
    return Engine.SQLSERVER if connection.vendor == "microsoft" else Engine.POSTGRESQL


def quoted_table(engine: Engine, name: str) -> str:
    """Return the schema-qualified name of a table, quoted for the engine."""
    return f"[{SCHEMA}].[{name}]" if engine is Engine.SQLSERVER else f'"{SCHEMA}"."{name}"'


def db_table(name: str) -> str:
    """Return ``Meta.db_table`` for a table of the schema ``llm`` on the engine the settings name."""
    django_engine = settings.DATABASES["default"]["ENGINE"]
    return quoted_table(Engine.SQLSERVER if django_engine == "mssql" else Engine.POSTGRESQL, name)
