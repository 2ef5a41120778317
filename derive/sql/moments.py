"""Moments as the two drivers give and take them: aware in Python, always UTC; ``datetime2`` knows no zone.

The tables can hold moments that Python cannot (PostgreSQL knows ``infinity``, the year 294276 and 4713 BC), or cannot
show in every time zone (the first and last day of its calendar). Such a row must not break its reader: a moment outside
``FIRST`` and ``LAST`` is read as the nearer of the two.
"""

from datetime import UTC, datetime

from django.db import connection
from django.db.backends.postgresql.psycopg_any import BaseTzLoader
from psycopg import DataError
from psycopg.abc import Buffer
from psycopg.adapt import AdaptersMap
from psycopg.types.datetime import TimestamptzBinaryLoader
from typing_extensions import override

from derive.sql.tables import Engine, engine_of

FIRST = datetime(1, 1, 2, tzinfo=UTC)
LAST = datetime(9999, 12, 30, tzinfo=UTC)


def within_calendar(value: datetime) -> datetime:
    """Return an aware moment, or the nearest one that can be shown in every time zone."""
    return FIRST if value < FIRST else LAST if value > LAST else value


def as_utc(value: datetime) -> datetime:
    """Return a moment as either driver gives it, aware, in UTC and within the calendar."""
    if value.tzinfo is None:
        return within_calendar(value.replace(tzinfo=UTC))
    return within_calendar(value).astimezone(UTC)


class _TextLoader(BaseTzLoader):  # type: ignore[misc]  # untyped in Django's stubs
    """Django's loader, for any moment that PostgreSQL can tell."""

    timezone = UTC

    @override
    def load(self, data: Buffer) -> datetime:
        try:
            value: datetime = super().load(data)
        except DataError:
            text = bytes(data)
            return FIRST if text.startswith(b"-") or text.endswith(b"BC") else LAST
        return within_calendar(value)


class _BinaryLoader(TimestamptzBinaryLoader):
    """The driver's loader, for any moment that PostgreSQL can tell."""

    @override
    def load(self, data: Buffer) -> datetime:
        try:
            return within_calendar(super().load(data))
        except DataError:
            return FIRST if bytes(data)[0] & 0x80 else LAST


def read_every_moment(adapters: AdaptersMap) -> None:
    """Let a connection to PostgreSQL read every moment that a table can hold."""
    adapters.register_loader("timestamptz", _TextLoader)
    adapters.register_loader("timestamptz", _BinaryLoader)


def without_zone(value: datetime) -> datetime:
    """Return an aware moment as ``datetime2`` takes it."""
    return value.astimezone(UTC).replace(tzinfo=None)


def literal(value: datetime) -> str:
    """Return an aware moment as SQL: mssql-django rewrites parameters in SQL with GROUP BY, so there are none."""
    text = f"'{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"
    return f"CAST({text}' AS datetime2(6))" if engine_of(connection) is Engine.SQLSERVER else f"timestamptz {text}+00'"
