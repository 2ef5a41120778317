"""What Babelfish lacks and SQL Server has: tests that need it are marked with ``lacks`` and skipped there.

Whatever else fails on a Babelfish is a new fault. The list with its reasons is also in migrations_sql/README.md.
"""

from enum import StrEnum
from functools import cache

import pytest
from django.db import connection

from derive.sql.tables import Engine, engine_of

MARK = "babelfish_lacks"


class Lack(StrEnum):
    """One thing that Babelfish 4.4 lacks, as the README has it."""

    NAMED_INDEXES = "indexes and default constraints cannot be dropped by name"
    OWNERSHIP_CHAINING = "no ownership chaining: EXECUTE on a procedure gives no way to its tables"
    JSON_ESCAPES = "JSON functions return the escapes of strings as they are written"
    LONG_JSON_STRINGS = "OPENJSON cuts strings at 4,000 characters"
    CONCURRENT_APPLOCKS = "concurrent calls of sp_getapplock can crash the server"


def lacks(lack: Lack) -> pytest.MarkDecorator:
    """Return the mark that skips a test on Babelfish, and there alone, with this reason."""
    return getattr(pytest.mark, MARK)(lack)  # type: ignore[no-any-return]


def skip_on_babelfish(item: pytest.Item) -> None:
    """Skip a marked test on Babelfish; to be called where the database may be asked."""
    mark = item.get_closest_marker(MARK)
    if mark is not None and is_babelfish():
        pytest.skip(f"Babelfish: {mark.args[0]}")


@cache
def is_babelfish() -> bool:
    """Whether DATABASE_URL names a Babelfish; asked once a process."""
    if engine_of(connection) is not Engine.SQLSERVER:
        return False
    with connection.cursor() as cursor:
        cursor.execute("SELECT CASE WHEN SERVERPROPERTY('BabelfishVersion') IS NULL THEN 0 ELSE 1 END")
        return bool(cursor.fetchone()[0])
