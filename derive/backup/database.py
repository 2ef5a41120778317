"""The database's part of a backup, by PostgreSQL's own ``pg_dump`` and ``pg_restore``."""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection, transaction
from psycopg import sql

from derive.backup.document import DumpFile
from derive.errors import ConfigurationError, HolocronError
from derive.sql.tables import Engine, engine_of

COUNTED = ("job", "run", "artifact", "job_event", "seal", "fact", "fact_review", "interrogation")
_ROLES = ("llm_worker", "llm_operator", "llm_reader", "holocron_site")
_CHUNK_BYTES = 1 << 20
_MAX_SHOWN = 500


def require_postgresql(what: str) -> None:
    """Raise ConfigurationError on SQL Server, whose own backups are the right ones."""
    if engine_of(connection) is Engine.SQLSERVER:
        raise ConfigurationError(
            f"{what} is for PostgreSQL: back SQL Server up with BACKUP DATABASE, and the lake after it (docs/backup.md)"
        )


@contextmanager
def snapshot() -> Iterator[tuple[str, dict[str, int]]]:
    """Yield the name of a snapshot that lives as long as the block, and the rows of some tables in it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SELECT pg_catalog.pg_export_snapshot()")
        (name,) = cursor.fetchone()
        yield name, _count_rows()


def dump(folder: Path, name: str, *, of_snapshot: str) -> DumpFile:
    """Write the whole database into a file, durably. Raises HolocronError with pg_dump's own words."""
    part = folder / f"{name}.part"
    _run("pg_dump", "--format=custom", "--no-owner", f"--snapshot={of_snapshot}", f"--file={part}")
    with part.open("rb") as stream:
        os.fsync(stream.fileno())
    facts = DumpFile(name=name, sha256=hash_of(part), byte_count=part.stat().st_size)
    part.replace(folder / name)
    return facts


def require_empty() -> None:
    """Raise ConfigurationError unless the database holds no table: nothing is ever restored over something."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace "
            "WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg_toast%'"
        )
        (relations,) = cursor.fetchone()
    if relations:
        raise ConfigurationError(
            "the database at DATABASE_URL is not empty, and nothing is restored over what is there: name an empty one "
            "(embedded: another HOLOCRON_VAR)"
        )


def load(file: Path) -> dict[str, int]:
    """Load a dump into the empty database, all of it or nothing; return the rows of some tables."""
    with connection.cursor() as cursor:
        for role in _ROLES:
            # The dump grants rights to these; logins are made by set_up_database.
            cursor.execute("SELECT count(*) FROM pg_catalog.pg_roles WHERE rolname = %s", [role])
            if not cursor.fetchone()[0]:
                create = sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role))
                cursor.execute(create)
    _run("pg_restore", "--single-transaction", "--exit-on-error", "--no-owner", "--dbname", target_file=file)
    return _count_rows()


def hash_of(file: Path) -> str:
    """Return the SHA-256 of a file, in constant memory."""
    found = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()


def _count_rows() -> dict[str, int]:
    with connection.cursor() as cursor:
        counts = {}
        for table in COUNTED:
            cursor.execute(f"SELECT count(*) FROM llm.{table}")  # noqa: S608 (constants)
            counts[table] = int(cursor.fetchone()[0])
    return counts


def _run(program: str, *options: str, target_file: Path | None = None) -> None:
    """Run one of PostgreSQL's programs on this database, as ``dbshell`` would reach it."""
    connection.ensure_connection()
    arguments, environment = connection.client.settings_to_cmd_args_env(connection.settings_dict, [])
    psql, *reach, database = arguments
    own = Path(psql).with_name(program) if os.sep in psql else Path(program)
    command = [str(own), *reach, *options, database, *([str(target_file)] if target_file else [])]
    try:
        done = subprocess.run(
            command, env={**os.environ, **(environment or {})}, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise ConfigurationError(f"{program} is not installed: install PostgreSQL's client programs") from None
    if done.returncode:
        raise HolocronError(f"{program} failed: {' '.join(done.stderr.split())[:_MAX_SHOWN]}")
