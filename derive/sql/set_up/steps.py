"""The steps of the set-up; each can be repeated and reports what it did."""

from collections.abc import Callable, Iterator, Sequence
from types import ModuleType

from django.apps import apps
from django.db import Error as DjangoDatabaseError
from django.db.backends.base.base import NO_DB_ALIAS, BaseDatabaseWrapper

from derive.errors import ConfigurationError, QueueError
from derive.sql.fault_codes import Meaning
from derive.sql.faults import queue_error, read_fault
from derive.sql.migration_lock import migration_lock_held
from derive.sql.scripts import check_schema
from derive.sql.set_up import postgresql, sqlserver
from derive.sql.set_up.logins import SITE_ROLE, Login
from derive.sql.tables import Engine, engine_of

_DIALECTS: dict[Engine, ModuleType] = {Engine.POSTGRESQL: postgresql, Engine.SQLSERVER: sqlserver}

MIGRATIONS_TABLE = "django_migrations"
"""Read before an account is created on the command line; only migrate writes to it."""


def set_up(connection: BaseDatabaseWrapper, logins: Sequence[Login], *, migrate: Callable[[], None]) -> Iterator[str]:
    """Create the database, scripts, roles and logins; yield a line for each completed step.

    ``migrate`` runs Django's command. Finally logs in with each login and checks its rights. Raises
    ConfigurationError, QueueError or Django's database errors.
    """
    dialect = _DIALECTS[engine_of(connection)]
    name, user = connection.settings_dict["NAME"], connection.settings_dict["USER"]
    if any(login.name == user for login in logins):
        raise ConfigurationError(f"{user} cannot set itself up: let DATABASE_URL name the server's administrator")
    made = _create_database(dialect, connection)
    yield f"database {name}: {'created' if made else 'exists already'}"
    migrate()
    yield "tables and procedures: up to date"
    # Two concurrent set-ups would both find a role missing and change the same login.
    with migration_lock_held(connection):
        dialect.put_role(connection, SITE_ROLE)
        dialect.grant_use(connection, SITE_ROLE, reads=[MIGRATIONS_TABLE], writes=site_tables())
        for login in logins:
            dialect.put_login(connection, login)
    for login in logins:
        _log_in(connection, login)
        yield f"login {login.name}: can log in, with the role {' and '.join(login.roles)}"


def site_tables() -> list[str]:
    """Return the tables that Django manages; none of them is in the schema ``llm``."""
    options = [model._meta for model in apps.get_models(include_auto_created=True)]  # noqa: SLF001 (Django documents it)
    return sorted({option.db_table for option in options if option.managed and not option.proxy})


def put_login(connection: BaseDatabaseWrapper, login: Login) -> None:
    """Create the login, or update its password and roles, on the connection's engine."""
    _DIALECTS[engine_of(connection)].put_login(connection, login)


def _create_database(dialect: ModuleType, connection: BaseDatabaseWrapper) -> bool:
    """Create the database if it is missing, connected to the maintenance database; return whether it was missing."""
    try:
        connection.ensure_connection()
    except DjangoDatabaseError as error:
        # For a missing database, SQL Server first reports "Login failed", and its driver returns only that.
        if read_fault(error).meaning not in {Meaning.NO_DATABASE, Meaning.LOGIN_REFUSED}:
            raise
    else:
        return False
    maintenance = connection.copy(alias=NO_DB_ALIAS)
    maintenance.settings_dict["NAME"] = dialect.MAINTENANCE_DATABASE
    try:
        return bool(dialect.create_database(maintenance, connection.settings_dict["NAME"]))
    except DjangoDatabaseError:
        # Another process may have created it meanwhile; otherwise the first error is the one to raise.
        if not _can_open(connection):
            raise
        return False
    finally:
        maintenance.close()


def _can_open(connection: BaseDatabaseWrapper) -> bool:
    try:
        connection.ensure_connection()
    except DjangoDatabaseError:
        return False
    return True


def _log_in(connection: BaseDatabaseWrapper, login: Login) -> None:
    """Check the schema with the login, as its processes do on start; raise ConfigurationError if that fails."""
    own = connection.copy()
    own.settings_dict |= {"USER": login.name, "PASSWORD": login.password}
    try:
        check_schema(own)
    except QueueError as error:
        raise ConfigurationError(f"the login {login.name} was created, but does not work: {error}") from error
    except DjangoDatabaseError as error:
        why = queue_error(read_fault(error), "logging in")
        raise ConfigurationError(f"the login {login.name} was made, but cannot work: {why}") from error
    finally:
        own.close()
