"""Describes an unusable database in one line that says what to do."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db import OperationalError


@dataclass(frozen=True)
class Advice:
    """The advice for one kind of failure, which is recognised by regular expressions in the error's message."""

    said: tuple[str, ...]
    line: str


# Messages of libpq, PostgreSQL, Microsoft's ODBC driver and SQL Server. The first match counts, because SQL Server
# reports "Login failed" for a missing database as well.
_ADVICE = (
    Advice(said=("^the embedded PostgreSQL", "^this database is "), line=""),
    Advice(
        said=("unsupported startup parameter",),
        line="the pooler in front of the database refuses a startup parameter: remove options= from DATABASE_URL, and "
        "give its settings to the role (ALTER ROLE … SET)",
    ),
    Advice(
        said=('database "[^"]*" does not exist', "Cannot open database"),
        line="the database that DATABASE_URL names does not exist, or its user may not open it: create or correct it",
    ),
    Advice(
        said=(
            "Login failed",
            "password authentication failed",
            "no password supplied",
            'role "[^"]*" does not exist',
            "no pg_hba.conf entry",
            "Invalid authorization specification",
        ),
        line="the database refuses the user or the password of DATABASE_URL: correct them (% encodes special marks "
        "there, DATABASE_PASSWORD takes them as they are); SQL Server says so of a database that is not there as well",
    ),
    Advice(
        said=("certificate", "SSL Provider", "server does not support SSL", "SSL error", "Encryption not supported"),
        line="no encrypted connection to the database can be made: install its certificate's authority, or for a "
        "server of your own say in DATABASE_URL TrustServerCertificate=yes (SQL Server) or sslmode=require",
    ),
    Advice(
        said=("Failed to load the driver",),
        line="the system lacks a library that SQL Server's driver loads: install libkrb5-3 and libgssapi-krb5-2",
    ),
    Advice(
        said=(
            "refused",
            "could not translate host name",
            "Name or service not known",
            "nodename nor servname",
            "Temporary failure in name",
            "unable to establish connection",
            "Connection operation failed",  # the other side is not a SQL Server
            "Protocol error in TDS stream",  # likewise
            "timeout expired",
            "Login timeout",
            "No route to host",
            "Network is unreachable",
            "could not receive data",
            "server closed the connection",
            "Communication link failure",
            "the database system is",
        ),
        line="the database does not answer at {where}: start it, or correct DATABASE_URL",
    ),
    Advice(
        said=(
            "permission denied",
            "permission was denied",
            "must be owner",
            "must have admin option",
            "does not have permission",
            "do not have permission",
            "not able to access the database",
        ),
        line="the user of DATABASE_URL may not do this: give it its role, as `manage.py set_up_database` does, or run "
        "it as one who may (`migrate` needs the database's owner)",
    ),
    Advice(
        said=(
            'relation "[^"]*" does not exist',
            'schema "[^"]*" does not exist',
            "function [^ ]* does not exist",
            "Invalid object name",
            "Could not find stored procedure",
        ),
        line="the database lacks this version's tables or procedures: run `manage.py migrate`",
    ),
    Advice(
        said=("Password validation failed", "password does not meet"),
        line="SQL Server does not take such a password: 8 characters or more, of three kinds (capital and small "
        "letters, digits, marks)",
    ),
    Advice(
        said=("Error loading pyodbc",), line="the system lacks unixODBC, which mssql-django loads: install unixodbc"
    ),
)


def describe(error: Exception, *, database: Mapping[str, Any]) -> str | None:
    """Return the line, or None if the error is of another kind and its traceback is useful.

    ``database`` is the entry of DATABASES in use; the line never contains its password.
    """
    text = " ".join(str(error).split())
    if database.get("PASSWORD"):
        text = text.replace(database["PASSWORD"], "…")
    where = f"{database.get('HOST') or 'localhost'}:{database.get('PORT') or 'its usual port'}"
    for advice in _ADVICE:
        if re.search("|".join(advice.said), text, re.IGNORECASE):
            return f"{advice.line.format(where=where)} ({text})" if advice.line else text
    if isinstance(error, OperationalError):
        return f"the database failed: {text}"
    return None
