"""The scripts of ``migrations_sql``: which exist, which a database has, and how they are run.

A script is identified by its path below the engine's folder (``tables/0002_job.sql``) and the SHA-256 of its text
with LF line endings. ``llm.schema_script`` records what was run. Table scripts run once, in order, each from its
Django migration; procedure scripts are rerun whenever their hash differs from the record.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from derive.errors import AccessDenied, SchemaMismatch
from derive.sql.roles import has_roles_without_rights, missing_roles_notice
from derive.sql.tables import Engine, engine_of, quoted_table

SCRIPTS_FOLDER = Path(__file__).resolve().parents[2] / "migrations_sql"
TABLES = "tables"
PROCEDURES = "procedures"
GRANTS = (
    f"{TABLES}/0011_grants.sql",
    f"{TABLES}/0027_lake.sql",
    f"{TABLES}/0037_model.sql",
    f"{TABLES}/0038_endpoint.sql",
    f"{TABLES}/0046_batch.sql",
)
"""Scripts that grant read access and can be rerun for a role created later."""

# Only at the beginning of a line, because a comment may mention it.
_CREATE_OR_ALTER = re.compile(r"^CREATE\s+OR\s+ALTER\s+PROCEDURE\s+(?P<name>[\w.]+)", re.MULTILINE)
_GO = re.compile(r"^[ \t]*GO[ \t]*;?[ \t]*$", re.IGNORECASE | re.MULTILINE)

_RECORD_TABLE_SQL = {
    Engine.POSTGRESQL: "SELECT to_regclass('llm.schema_script') IS NOT NULL",
    Engine.SQLSERVER: "SELECT CASE WHEN OBJECT_ID(N'llm.schema_script', N'U') IS NULL THEN 0 ELSE 1 END",
}
# The database decides whether a script is on record, because the row count a driver reports depends on NOCOUNT.
_RECORD_SQL = {
    Engine.POSTGRESQL: (
        "INSERT INTO llm.schema_script AS r (script_name, sha256, applied_utc) VALUES (%s, %s, clock_timestamp()) "
        "ON CONFLICT (script_name) DO UPDATE SET sha256 = excluded.sha256, applied_utc = excluded.applied_utc"
    ),
    Engine.SQLSERVER: (
        "DECLARE @script_name nvarchar(200) = %s; DECLARE @sha256 nvarchar(64) = %s; "
        "UPDATE llm.schema_script SET sha256 = @sha256, applied_utc = SYSUTCDATETIME() "
        "WHERE script_name = @script_name; "
        "IF @@ROWCOUNT = 0 INSERT INTO llm.schema_script (script_name, sha256, applied_utc) "
        "VALUES (@script_name, @sha256, SYSUTCDATETIME());"
    ),
}


@dataclass(frozen=True, slots=True)
class Script:
    """One file of ``migrations_sql``: its name below the engine's folder, its text, and the text's hash."""

    name: str
    text: str
    sha256: str


def read_script(engine: Engine, name: str, folder: Path = SCRIPTS_FOLDER) -> Script:
    """Read one script; line endings become LF, so that a checkout on Windows has the same hash."""
    text = (folder / engine / name).read_bytes().decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    return Script(name=name, text=text, sha256=hashlib.sha256(text.encode()).hexdigest())


def read_scripts(engine: Engine, kind: str, folder: Path = SCRIPTS_FOLDER) -> tuple[Script, ...]:
    """Read the scripts of one kind (``tables`` or ``procedures``) in the order of their names."""
    paths = sorted((folder / engine / kind).glob("*.sql"))
    return tuple(read_script(engine, f"{kind}/{path.name}", folder) for path in paths)


def split_batches(engine: Engine, text: str) -> tuple[str, ...]:
    """Return the batches to send: T-SQL is split at GO, which only sqlcmd understands; PostgreSQL takes one script."""
    if engine is Engine.POSTGRESQL:
        return (text,)
    return tuple(batch for batch in _GO.split(text) if batch.strip())


def recorded_hashes(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Return the recorded SHA-256 by script name; empty if nothing was ever installed."""
    engine = engine_of(connection)
    with connection.cursor() as cursor:
        cursor.execute(_RECORD_TABLE_SQL[engine])
        row = cursor.fetchone()
        if not row or not row[0]:
            return {}
        cursor.execute(f"SELECT script_name, sha256 FROM {quoted_table(engine, 'schema_script')}")  # noqa: S608 (our own constants)
        return {str(name): str(sha256) for name, sha256 in cursor.fetchall()}


def compare(wanted: Mapping[str, str], recorded: Mapping[str, str]) -> list[str]:
    """Return one line for each script that differs, is missing, or is recorded but not in this tree."""
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
    """Run one script of the folder ``tables`` and record it; call it inside the migration's transaction.

    The caller must hold the ``migration_lock``. Raises AccessDenied before changing anything if SQL Server lacks the
    roles that its scripts grant to and this login may not create them.
    """
    engine = engine_of(connection)
    if engine is Engine.SQLSERVER and (notice := missing_roles_notice(connection)):
        raise AccessDenied(notice)
    script = read_script(engine, f"{TABLES}/{name}.sql", folder)
    _apply(connection, script)


def install_procedures(connection: BaseDatabaseWrapper, folder: Path = SCRIPTS_FOLDER) -> list[str]:
    """Run every procedure script whose hash differs from the record, in one transaction; return their names.

    If a role was created after they ran, all of them and the grants are rerun. Does nothing while table scripts are
    still to be migrated, as in ``migrate derive 0001``. Nothing is ever removed: a procedure is dropped by a table
    script that also deletes its record.

    Raises:
        SchemaMismatch: a table script was changed after it ran, or the database is newer than this tree.
    """
    engine = engine_of(connection)
    tables = _hashes(read_scripts(engine, TABLES, folder))
    procedures = read_scripts(engine, PROCEDURES, folder)
    wanted = tables | _hashes(procedures)
    recorded = recorded_hashes(connection)
    if not tables.keys() <= recorded.keys():
        return []
    grants = [read_script(engine, name, folder) for name in GRANTS] if has_roles_without_rights(connection) else []
    if recorded == wanted and not grants:
        return []
    _refuse_other_history(tables, wanted, recorded)
    differing = [script for script in procedures if grants or recorded.get(script.name) != script.sha256]
    with transaction.atomic(using=connection.alias):
        for script in (*grants, *differing):
            _apply(connection, script)
    return [script.name for script in differing]


def _refuse_other_history(tables: Mapping[str, str], wanted: Mapping[str, str], recorded: Mapping[str, str]) -> None:
    """Raise SchemaMismatch if running this tree's procedures could do harm."""
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
    """Run a script and record it; raise SchemaMismatch, which rolls back, if it could not be recorded."""
    engine = engine_of(connection)
    for batch in split_batches(engine, script.text):
        _run(connection, _in_words_of(connection, batch) if engine is Engine.SQLSERVER else batch)
    with connection.cursor() as cursor:
        cursor.execute(_RECORD_SQL[engine], [script.name, script.sha256])
        while cursor.nextset():
            pass
    if recorded_hashes(connection).get(script.name) != script.sha256:
        raise SchemaMismatch(f"llm.schema_script did not take the record of {script.name}: nothing of it was kept")


def _in_words_of(connection: BaseDatabaseWrapper, batch: str) -> str:
    """Return a T-SQL batch with CREATE or ALTER instead of CREATE OR ALTER, which not every server supports."""
    found = _CREATE_OR_ALTER.search(batch)
    if found is None:
        return batch
    with connection.cursor() as cursor:
        cursor.execute("SELECT CASE WHEN OBJECT_ID(%s, N'P') IS NULL THEN 0 ELSE 1 END", [found["name"]])
        is_there = cursor.fetchone()[0]
    verb = "ALTER" if is_there else "CREATE"
    return f"{batch[: found.start()]}{verb} PROCEDURE {found['name']}{batch[found.end() :]}"


def _run(connection: BaseDatabaseWrapper, text: str) -> None:
    """Send a text unchanged, bypassing Django's cursors: mssql-django rewrites ``%s`` in SQL with GROUP BY."""
    connection.ensure_connection()
    with connection.wrap_database_errors:
        cursor: Any = connection.connection.cursor()
        try:
            cursor.execute(text)
            # On SQL Server, errors after the first result only appear once the remaining results are read.
            while cursor.nextset():
                pass
        finally:
            cursor.close()
