"""The set-up, step by step; each step is repeatable and reports what it did."""

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
"""Looked into before an account is made on the command line; only migrate writes it."""


def set_up(connection: BaseDatabaseWrapper, logins: Sequence[Login], *, migrate: Callable[[], None]) -> Iterator[str]:
    """Make database, scripts, roles and logins; yield a line for each step done.

    ``migrate`` runs Django's. Ends by logging in as each login and looking at what it was given. Raises
    ConfigurationError, QueueError, or what Django makes of the driver's error.
    """
    dialect = _DIALECTS[engine_of(connection)]
    name, user = connection.settings_dict["NAME"], connection.settings_dict["USER"]
    if any(login.name == user for login in logins):
        raise ConfigurationError(f"{user} cannot set itself up: let DATABASE_URL name the server's administrator")
    made = _create_database(dialect, connection)
    yield f"database {name}: {'created' if made else 'exists already'}"
    migrate()
    yield "tables and procedures: up to date"
    # Two at once would both find a role missing, and change the same login concurrently.
    with migration_lock_held(connection):
        dialect.put_role(connection, SITE_ROLE)
        dialect.grant_use(connection, SITE_ROLE, reads=[MIGRATIONS_TABLE], writes=site_tables())
        for login in logins:
            dialect.put_login(connection, login)
    for login in logins:
        _log_in(connection, login)
        yield f"login {login.name}: can log in, with the role {' and '.join(login.roles)}"


def site_tables() -> list[str]:
    """Return Django's own tables: all that it manages, and none of the schema ``llm``."""
    options = [model._meta for model in apps.get_models(include_auto_created=True)]  # noqa: SLF001 (Django documents it)
    return sorted({option.db_table for option in options if option.managed and not option.proxy})


def put_login(connection: BaseDatabaseWrapper, login: Login) -> None:
    """Make the login, or bring it to this password and these roles, on whichever engine it is."""
    _DIALECTS[engine_of(connection)].put_login(connection, login)


def _create_database(dialect: ModuleType, connection: BaseDatabaseWrapper) -> bool:
    """Make the database, from the server's own, where it is missing; return whether it was."""
    try:
        connection.ensure_connection()
    except DjangoDatabaseError as error:
        # SQL Server says "Login failed" first of a database that is not there, and its driver hands on no more.
        if read_fault(error).meaning not in {Meaning.NO_DATABASE, Meaning.LOGIN_REFUSED}:
            raise
    else:
        return False
    maintenance = connection.copy(alias=NO_DB_ALIAS)
    maintenance.settings_dict["NAME"] = dialect.MAINTENANCE_DATABASE
    try:
        return bool(dialect.create_database(maintenance, connection.settings_dict["NAME"]))
    except DjangoDatabaseError:
        # Another process may have created it just now; if not, the first error counts.
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
    """Check the schema under the login, as its processes do first; raise ConfigurationError if that fails."""
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
