"""The database's clock: the one that counts wherever several machines have to agree on the time."""

from datetime import UTC, datetime

from django.db import connection

from derive.sql.reading import reading
from derive.sql.tables import Engine, engine_of

_NOW = {Engine.POSTGRESQL: "SELECT clock_timestamp()", Engine.SQLSERVER: "SELECT SYSUTCDATETIME()"}


def database_now() -> datetime:
    """Return the database's time, aware and in UTC; raise QueueError."""

    def query() -> datetime:
        with connection.cursor() as cursor:
            cursor.execute(_NOW[engine_of(connection)])
            moment: datetime = cursor.fetchone()[0]
            return moment

    moment = reading(query)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
