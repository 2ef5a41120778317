"""Handles migrating with a login that may not create the three roles to which the scripts grant rights."""

from django.db.backends.base.base import BaseDatabaseWrapper

from derive.sql.tables import Engine, engine_of

ROLES = ("llm_worker", "llm_operator", "llm_reader")

_MAKE = {Engine.POSTGRESQL: "CREATE ROLE {} NOLOGIN", Engine.SQLSERVER: "CREATE ROLE {}"}
_THERE_SQL = {
    Engine.POSTGRESQL: "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname IN (%s, %s, %s)",
    Engine.SQLSERVER: "SELECT name FROM sys.database_principals WHERE type = N'R' AND name IN (%s, %s, %s)",
}
_MAY_MAKE_SQL = {
    Engine.POSTGRESQL: (
        "SELECT CASE WHEN rolsuper OR rolcreaterole THEN 1 ELSE 0 END FROM pg_catalog.pg_roles "
        "WHERE rolname = current_user"
    ),
    Engine.SQLSERVER: "SELECT HAS_PERMS_BY_NAME(DB_NAME(), N'DATABASE', N'CREATE ROLE')",
}
# A role that was created after the scripts ran has no rights yet.
_WITHOUT_RIGHTS_SQL = (
    "SELECT count(*) FROM pg_catalog.pg_roles "
    "WHERE rolname IN (%s, %s, %s) AND NOT has_schema_privilege(oid, 'llm', 'USAGE')"
)


def missing_roles_notice(connection: BaseDatabaseWrapper) -> str:
    """Return a sentence with the roles that an administrator has to create, or "" if there are none."""
    engine = engine_of(connection)
    with connection.cursor() as cursor:
        cursor.execute(_THERE_SQL[engine], ROLES)
        missing = set(ROLES) - {name for (name,) in cursor.fetchall()}
        cursor.execute(_MAY_MAKE_SQL[engine])
        (may_make,) = cursor.fetchone()
    if may_make or not missing:
        return ""
    statements = "; ".join(_MAKE[engine].format(role) for role in ROLES if role in missing)
    return (
        f"{', '.join(role for role in ROLES if role in missing)}: missing, and this login may not create roles. Let an "
        f"administrator of the database run: {statements}; then run manage.py migrate again, which grants their rights"
    )


def has_roles_without_rights(connection: BaseDatabaseWrapper) -> bool:
    """Whether a role was created after the scripts that grant its rights had run.

    Always false on SQL Server, where the scripts do not run without the roles.
    """
    if engine_of(connection) is Engine.SQLSERVER:
        return False
    with connection.cursor() as cursor:
        cursor.execute(_WITHOUT_RIGHTS_SQL, ROLES)
        return bool(cursor.fetchone()[0])
