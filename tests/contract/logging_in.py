"""Logins with few rights, as set-up makes them, on whichever engine this is."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.postgresql.base import DatabaseWrapper as PostgresqlWrapper

from derive.sql.set_up.logins import Login
from derive.sql.set_up.steps import put_login
from derive.sql.tables import Engine, engine_of

PASSWORD = "Aa1;{}@%'\"" + secrets.token_hex(8)


@contextmanager
def logged_in(role: str) -> Iterator[str]:
    """Yield the alias of a connection whose login is a member of this role alone; its user's name is ``login_name``."""
    login = Login(name=login_name(role), password=PASSWORD, roles=(role,))
    put_login(connection, login)
    alias = login.name
    connections[alias] = _as(login)
    try:
        yield alias
    finally:
        connections[alias].close()
        del connections[alias]
        _forget(login)


def login_name(role: str) -> str:
    return f"test_{role}'s login"


def _as(login: Login) -> BaseDatabaseWrapper:
    """Return a connection to the same database under the login's name."""
    own = connection.copy()
    if engine_of(connection) is Engine.POSTGRESQL:
        # The embedded engine's own wrapper only ever logs in as the server's owner.
        info = connection.connection.info
        own = PostgresqlWrapper({**own.settings_dict, "HOST": info.host, "PORT": info.port})
    own.settings_dict |= {"USER": login.name, "PASSWORD": login.password}
    return own


def _forget(login: Login) -> None:
    """Drop it where roles outlive the database; on SQL Server a pooled connection may still hold the login."""
    if engine_of(connection) is Engine.SQLSERVER:
        return
    with connection.cursor() as cursor:
        name = connection.ops.quote_name(login.name)
        cursor.execute(f"DROP OWNED BY {name}")
        cursor.execute(f"DROP ROLE {name}")
