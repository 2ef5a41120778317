"""Converts moments for the two drivers: aware and in UTC in Python; ``datetime2`` has no zone.

The tables can contain moments that Python cannot represent (PostgreSQL has ``infinity``, the year 294276 and 4713 BC)
or cannot show in every time zone (the first and last day of its calendar). So that such a row does not break its
reader, a moment before ``FIRST`` or after ``LAST`` is read as ``FIRST`` or ``LAST``.
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
    """Return the aware moment, or the nearest one that can be shown in every time zone."""
    return FIRST if value < FIRST else LAST if value > LAST else value


def as_utc(value: datetime) -> datetime:
    """Return a moment from either driver as aware, in UTC and within the calendar."""
    if value.tzinfo is None:
        return within_calendar(value.replace(tzinfo=UTC))
    return within_calendar(value).astimezone(UTC)


class _TextLoader(BaseTzLoader):  # type: ignore[misc]  # untyped in Django's stubs
    """Django's loader, extended to every moment that PostgreSQL can represent."""

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
    """The driver's loader, extended to every moment that PostgreSQL can represent."""

    @override
    def load(self, data: Buffer) -> datetime:
        try:
            return within_calendar(super().load(data))
        except DataError:
            return FIRST if bytes(data)[0] & 0x80 else LAST


def read_every_moment(adapters: AdaptersMap) -> None:
    """Make a connection to PostgreSQL able to read every moment that a table can contain."""
    adapters.register_loader("timestamptz", _TextLoader)
    adapters.register_loader("timestamptz", _BinaryLoader)


def without_zone(value: datetime) -> datetime:
    """Return an aware moment as ``datetime2`` takes it."""
    return value.astimezone(UTC).replace(tzinfo=None)


def literal(value: datetime) -> str:
    """Return an aware moment as an SQL literal, because mssql-django rewrites parameters in SQL with GROUP BY."""
    text = f"'{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}"
    return f"CAST({text}' AS datetime2(6))" if engine_of(connection) is Engine.SQLSERVER else f"timestamptz {text}+00'"
