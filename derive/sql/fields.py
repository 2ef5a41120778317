"""Two model fields whose parameters have the column's type on both engines.

mssql-django 2.0 stores a UUID as ``char(32)`` and sends it as 32 hex digits, which ``uniqueidentifier`` rejects. With
USE_TZ it sends times as ``datetimeoffset``, so SQL Server converts the whole ``datetime2`` column before comparing
and cannot use an index (mssql/base.py, mssql/operations.py).
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from typing_extensions import override

from derive.sql.moments import as_utc, without_zone
from derive.sql.tables import Engine, engine_of


class GuidField(models.UUIDField):  # type: ignore[type-arg]  # Django's class is not generic at run time
    """A guid (``uniqueidentifier`` or ``uuid``), bound as a guid on both engines."""

    @override
    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        """Return the column's type."""
        return "uniqueidentifier" if engine_of(connection) is Engine.SQLSERVER else "uuid"

    @override
    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> UUID | None:
        """Return the UUID itself, which both drivers bind with the right type."""
        return value if prepared and isinstance(value, UUID) else self.to_python(value)


class UtcField(models.DateTimeField):  # type: ignore[type-arg]  # as above
    """A moment in UTC: ``datetime2(6)`` or ``timestamptz``; aware in Python on both."""

    @override
    def db_type(self, connection: BaseDatabaseWrapper) -> str:
        """Return the column's type."""
        return "datetime2(6)" if engine_of(connection) is Engine.SQLSERVER else "timestamp with time zone"

    def from_db_value(self, value: datetime | None, *_context: Any) -> datetime | None:
        """Return the moment, limited to the range that every time zone can show."""
        return None if value is None else as_utc(value)

    @override
    def get_db_prep_value(self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False) -> Any:
        """Return the moment as the driver binds it; on SQL Server, in UTC without a zone."""
        if not prepared:
            value = self.get_prep_value(value)
        if engine_of(connection) is Engine.SQLSERVER and isinstance(value, datetime) and value.tzinfo is not None:
            return without_zone(value)
        return connection.ops.adapt_datetimefield_value(value)
