"""The scripts of ``migrations_sql``: which there are, which a database has, and how they get there.

A script is known by its path below the engine's folder (``tables/0002_job.sql``) and the SHA-256 of its text
with LF line ends. ``llm.schema_script`` records what was run. Tables' scripts run once, in order, each from its
Django migration; procedures are run again whenever their hash differs from the record.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from derive.errors import SchemaMismatch
from derive.sql.tables import Engine, engine_of, quoted_table

SCRIPTS_FOLDER = Path(__file__).resolve().parents[2] / "migrations_sql"
TABLES = "tables"
PROCEDURES = "procedures"

_GO = re.compile(r"^[ \t]*GO[ \t]*;?[ \t]*$", re.IGNORECASE | re.MULTILINE)

# One installation at a time: two would replace the same procedures under each other's hands. The lock ends with
# the transaction. The number is arbitrary and must only stay the same.
_LOCK_SQL = {
    Engine.POSTGRESQL: "SELECT pg_advisory_xact_lock(4871023596102)",
    # A refusal is only told by what it returns.
    Engine.SQLSERVER: (
        "DECLARE @granted int; EXEC @granted = sp_getapplock @Resource = N'llm.schema_script', "
        "@LockMode = N'Exclusive', @LockOwner = N'Transaction'; "
        "IF @granted < 0 THROW 50000, N'the lock for installing scripts was not granted: run migrate again', 1;"
    ),
}
_RECORD_TABLE_SQL = {
    Engine.POSTGRESQL: "SELECT to_regclass('llm.schema_script') IS NOT NULL",
    Engine.SQLSERVER: "SELECT CASE WHEN OBJECT_ID(N'llm.schema_script', N'U') IS NULL THEN 0 ELSE 1 END",
}
_NOW_SQL = {Engine.POSTGRESQL: "clock_timestamp()", Engine.SQLSERVER: "SYSUTCDATETIME()"}


@dataclass(frozen=True, slots=True)
class Script:
    """One file of ``migrations_sql``: its name below the engine's folder, its text, and the text's hash."""

    name: str
    text: str
    sha256: str


def read_script(engine: Engine, name: str, folder: Path = SCRIPTS_FOLDER) -> Script:
    """Read one script; line ends become LF, so that a checkout on Windows has the same hash."""
    text = (folder / engine / name).read_bytes().decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    return Script(name=name, text=text, sha256=hashlib.sha256(text.encode()).hexdigest())


def read_scripts(engine: Engine, kind: str, folder: Path = SCRIPTS_FOLDER) -> tuple[Script, ...]:
    """Read the scripts of one kind (``tables`` or ``procedures``) in the order of their names."""
    paths = sorted((folder / engine / kind).glob("*.sql"))
    return tuple(read_script(engine, f"{kind}/{path.name}", folder) for path in paths)


def split_batches(engine: Engine, text: str) -> tuple[str, ...]:
    """Return what is sent at a time: GO is sqlcmd's word, not T-SQL's; PostgreSQL takes a script whole."""
    if engine is Engine.POSTGRESQL:
        return (text,)
    return tuple(batch for batch in _GO.split(text) if batch.strip())


def recorded_hashes(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Return script name → SHA-256 as the database records them; empty where nothing was ever installed."""
    engine = engine_of(connection)
    with connection.cursor() as cursor:
        cursor.execute(_RECORD_TABLE_SQL[engine])
        row = cursor.fetchone()
        if not row or not row[0]:
            return {}
        cursor.execute(f"SELECT script_name, sha256 FROM {quoted_table(engine, 'schema_script')}")  # noqa: S608 (our own constants)
        return {str(name): str(sha256) for name, sha256 in cursor.fetchall()}


def compare(wanted: Mapping[str, str], recorded: Mapping[str, str]) -> list[str]:
    """Return one line for each script that differs, is missing, or is recorded and not in this tree."""
    lines = [f"{name}: not installed" for name in wanted if name not in recorded]
    lines += [f"{name}: differs" for name in wanted if name in recorded and recorded[name] != wanted[name]]
    lines += [f"{name}: installed, but not in this tree" for name in recorded if name not in wanted]
    return sorted(lines)


def check_schema(connection: BaseDatabaseWrapper, folder: Path = SCRIPTS_FOLDER) -> None:
    """Raise SchemaMismatch, naming each script, unless the database has exactly this tree's scripts."""
    engine = engine_of(connection)
    wanted = _hashes(read_scripts(engine, TABLES, folder) + read_scripts(engine, PROCEDURES, folder))
    recorded = recorded_hashes(connection)
    if not recorded:
        raise SchemaMismatch("the database has none of this version's tables and procedures. Run: manage.py migrate")
    lines = compare(wanted, recorded)
    if lines:
        raise SchemaMismatch(f"the database's scripts are not this tree's: {'; '.join(lines)}. Run: manage.py migrate")


def apply_table_script(connection: BaseDatabaseWrapper, name: str, folder: Path = SCRIPTS_FOLDER) -> None:
    """Run one script of the folder ``tables`` and record it; to be called inside the migration's transaction."""
    engine = engine_of(connection)
    script = read_script(engine, f"{TABLES}/{name}.sql", folder)
    _run(connection, _LOCK_SQL[engine])
    _apply(connection, script)


def install_procedures(connection: BaseDatabaseWrapper, folder: Path = SCRIPTS_FOLDER) -> list[str]:
    """Run every procedure whose hash differs from the record, in one transaction; return their names.

    Does nothing while tables are still to be migrated, as in ``migrate derive 0001``. Nothing is ever removed:
    a procedure goes by a table's script that drops it and its record.

    Raises:
        SchemaMismatch: a table's script was changed after it ran, or the database is newer than this tree.
    """
    engine = engine_of(connection)
    tables = _hashes(read_scripts(engine, TABLES, folder))
    procedures = read_scripts(engine, PROCEDURES, folder)
    wanted = tables | _hashes(procedures)
    recorded = recorded_hashes(connection)
    if not tables.keys() <= recorded.keys() or recorded == wanted:
        return []
    _refuse_other_history(tables, wanted, recorded)
    with transaction.atomic(using=connection.alias):
        _run(connection, _LOCK_SQL[engine])
        recorded = recorded_hashes(connection)
        differing = [script for script in procedures if recorded.get(script.name) != script.sha256]
        for script in differing:
            _apply(connection, script)
    return [script.name for script in differing]


def _refuse_other_history(tables: Mapping[str, str], wanted: Mapping[str, str], recorded: Mapping[str, str]) -> None:
    """Raise SchemaMismatch where running this tree's procedures could do harm."""
    changed = [name for name in tables if recorded[name] != tables[name]]
    foreign = [name for name in recorded if name not in wanted]
    if changed:
        raise SchemaMismatch(
            f"changed after it was installed: {', '.join(changed)}. A table's script is never edited once landed; "
            "write the change as a new script"
        )
    if foreign:
        raise SchemaMismatch(
            f"the database is newer than this tree, which does not have: {', '.join(sorted(foreign))}. "
            "Nothing was changed; migrate with the newer tree"
        )


def _hashes(scripts: tuple[Script, ...]) -> dict[str, str]:
    return {script.name: script.sha256 for script in scripts}


def _apply(connection: BaseDatabaseWrapper, script: Script) -> None:
    engine = engine_of(connection)
    for batch in split_batches(engine, script.text):
        _run(connection, batch)
    record, now = quoted_table(engine, "schema_script"), _NOW_SQL[engine]
    update = f"UPDATE {record} SET sha256 = %s, applied_utc = {now} WHERE script_name = %s"  # noqa: S608 (constants)
    insert = f"INSERT INTO {record} (sha256, script_name, applied_utc) VALUES (%s, %s, {now})"  # noqa: S608 (constants)
    with connection.cursor() as cursor:
        cursor.execute(update, [script.sha256, script.name])
        if cursor.rowcount == 0:
            cursor.execute(insert, [script.sha256, script.name])


def _run(connection: BaseDatabaseWrapper, text: str) -> None:
    """Send a text as it stands, below Django's cursors: mssql-django rewrites ``%s`` in SQL with GROUP BY."""
    connection.ensure_connection()
    with connection.wrap_database_errors:
        cursor: Any = connection.connection.cursor()
        try:
            cursor.execute(text)
            # Errors after the first result stay unseen on SQL Server until the results are drained.
            while cursor.nextset():
                pass
        finally:
            cursor.close()
