"""Moments as the two drivers give and take them: aware in Python, always UTC; ``datetime2`` knows no zone."""

from datetime import UTC, datetime

from django.db import connection

from derive.sql.tables import Engine, engine_of


def as_utc(value: datetime) -> datetime:
    """Return a moment as either driver gives it, aware and in UTC."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def without_zone(value: datetime) -> datetime:
    """Return an aware moment as ``datetime2`` takes it."""
    return value.astimezone(UTC).replace(tzinfo=None)


def literal(value: datetime) -> str:
    """Return an aware moment as SQL: mssql-django rewrites parameters in SQL with GROUP BY, so there are none."""
    text = f"'{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"
    return f"CAST({text}' AS datetime2(6))" if engine_of(connection) is Engine.SQLSERVER else f"timestamptz {text}+00'"
