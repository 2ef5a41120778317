"""The set-up on PostgreSQL. Every name and value is quoted by psycopg.sql, never by hand.

A password leaves this process only as the SCRAM verifier that the server would compute from it, so neither the network
nor the server's statement log contains the password.
"""

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

from derive.sql.set_up.logins import Login

MAINTENANCE_DATABASE = "postgres"

_ROLE_SQL = "SELECT count(*) FROM pg_catalog.pg_roles WHERE rolname = %s"


def create_database(maintenance: BaseDatabaseWrapper, name: str) -> bool:
    """Create the database with encoding UTF-8 if it is missing; return whether it was missing."""
    if _counts(maintenance, "SELECT count(*) FROM pg_catalog.pg_database WHERE datname = %s", name):
        return False
    # Other encodings cannot store everything models write. Only template0 can be copied with a different encoding.
    statement = sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0")
    _execute(maintenance, statement.format(sql.Identifier(name)))
    return True


def put_role(connection: BaseDatabaseWrapper, role: str) -> None:
    """Create the role without login if it is missing."""
    if not _counts(connection, _ROLE_SQL, role):
        _execute(connection, sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))


def put_login(connection: BaseDatabaseWrapper, login: Login) -> None:
    """Create the login, or set its password, and grant it this database with its roles."""
    connection.ensure_connection()
    verifier = connection.connection.pgconn.encrypt_password(
        login.password.encode(), login.name.encode(), b"scram-sha-256"
    )
    is_there = _counts(connection, _ROLE_SQL, login.name)
    put = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}" if is_there else "CREATE ROLE {} LOGIN PASSWORD {}")
    name, database = sql.Identifier(login.name), sql.Identifier(connection.settings_dict["NAME"])
    _execute(
        connection,
        put.format(name, sql.Literal(verifier.decode())),
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, name),
        *(sql.SQL("GRANT {} TO {}").format(sql.Identifier(role), name) for role in login.roles),
    )


def grant_use(connection: BaseDatabaseWrapper, role: str, *, reads: Sequence[str], writes: Sequence[str]) -> None:
    """Let the role read some tables of the current schema, and read and write others.

    Identity columns need no separate right.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_schema()")
        schema = cursor.fetchone()[0]

    def names(tables: Sequence[str]) -> sql.Composed:
        return sql.SQL(", ").join(sql.Identifier(schema, table) for table in tables)

    of_role = sql.Identifier(role)
    _execute(
        connection,
        sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), of_role),
        sql.SQL("GRANT SELECT ON {} TO {}").format(names(reads), of_role),
        sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}").format(names(writes), of_role),
    )


def _counts(connection: BaseDatabaseWrapper, statement: str, value: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(statement, [value])
        return bool(cursor.fetchone()[0])


def _execute(connection: BaseDatabaseWrapper, *statements: Any) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
