"""The database's clock, the reference wherever several machines have to agree on the time."""

from datetime import datetime

from django.db import connection

from derive.sql.moments import as_utc
from derive.sql.reading import read_rows
from derive.sql.tables import Engine, engine_of

_NOW = {Engine.POSTGRESQL: "SELECT clock_timestamp()", Engine.SQLSERVER: "SELECT SYSUTCDATETIME()"}


def database_now() -> datetime:
    """Return the database's time, aware and in UTC; raise QueueError."""
    ((now,),) = read_rows(_NOW[engine_of(connection)])
    return as_utc(now)
