"""The set-up on SQL Server. Names and values are sent as parameters, and QUOTENAME puts them into statements.

DDL takes no parameters, so each batch builds its statement on the server. QUOTENAME returns null for a name (or
password) that is too long, and then nothing is run. Existing objects in the wanted state are left alone, so that a
login without the right to create them can still set up the rest.
"""

from collections.abc import Sequence

from django.db.backends.base.base import BaseDatabaseWrapper

from derive.errors import ConfigurationError
from derive.sql.set_up.logins import Login

MAINTENANCE_DATABASE = "master"

AZURE_SQL_DATABASE = 5
"""https://learn.microsoft.com/sql/t-sql/functions/serverproperty-transact-sql (EngineEdition)"""

CREATE_DATABASE = """
DECLARE @name sysname = %s;
DECLARE @statement nvarchar(MAX) = N'CREATE DATABASE ' + QUOTENAME(@name);
EXEC (@statement);
"""

# Without row versions, readers wait for writers and may become deadlock victims. Azure SQL has them by default;
# Babelfish always has them, and no ALTER DATABASE. ROLLBACK IMMEDIATE is safe: a new database has no work to lose.
VERSION_ROWS = """
DECLARE @name sysname = %s;
DECLARE @statement nvarchar(MAX) = N'ALTER DATABASE ' + QUOTENAME(@name)
    + N' SET READ_COMMITTED_SNAPSHOT ON WITH ROLLBACK IMMEDIATE';
IF SERVERPROPERTY('BabelfishVersion') IS NULL
    AND EXISTS (SELECT 1 FROM sys.databases WHERE name = @name AND is_read_committed_snapshot_on = 0)
    EXEC (@statement);
"""

PUT_ROLE = """
DECLARE @role sysname = %s;
DECLARE @statement nvarchar(MAX) = N'CREATE ROLE ' + QUOTENAME(@role);
IF NOT EXISTS (SELECT 1 FROM sys.database_principals WHERE name = @role)
    EXEC (@statement);
"""

# Builds an N'' string for the password; QUOTENAME with a quotation mark doubles those inside.
PUT_LOGIN = """
DECLARE @login sysname = %s;
DECLARE @password nvarchar(128) = %s;
DECLARE @statement nvarchar(MAX) = N'CREATE LOGIN ';
IF EXISTS (SELECT 1 FROM sys.server_principals WHERE name = @login)
    SET @statement = N'ALTER LOGIN ';
SET @statement = @statement + QUOTENAME(@login) + N' WITH PASSWORD = N' + QUOTENAME(@password, '''');
EXEC (@statement);
"""

# Azure SQL Database has logins only in master, so a contained user with its own password is created there.
PUT_CONTAINED_USER = """
DECLARE @login sysname = %s;
DECLARE @password nvarchar(128) = %s;
DECLARE @statement nvarchar(MAX) = N'CREATE USER ';
IF EXISTS (SELECT 1 FROM sys.database_principals WHERE name = @login)
    SET @statement = N'ALTER USER ';
SET @statement = @statement + QUOTENAME(@login) + N' WITH PASSWORD = N' + QUOTENAME(@password, '''');
EXEC (@statement);
"""

# A database restored from another server's backup has users with that server's sids; they are remapped to this one's.
PUT_USER = """
DECLARE @login sysname = %s;
DECLARE @statement nvarchar(MAX);
IF NOT EXISTS (SELECT 1 FROM sys.database_principals WHERE name = @login)
    SET @statement = N'CREATE USER ' + QUOTENAME(@login) + N' FOR LOGIN ' + QUOTENAME(@login);
ELSE IF NOT EXISTS (
    SELECT 1
    FROM sys.database_principals AS u
    INNER JOIN sys.server_principals AS l
        ON u.sid = l.sid
    WHERE u.name = @login AND l.name = @login
)
    SET @statement = N'ALTER USER ' + QUOTENAME(@login) + N' WITH LOGIN = ' + QUOTENAME(@login);
IF @statement IS NOT NULL
    EXEC (@statement);
"""

ADD_MEMBER = """
DECLARE @role sysname = %s;
DECLARE @login sysname = %s;
DECLARE @statement nvarchar(MAX) = N'ALTER ROLE ' + QUOTENAME(@role) + N' ADD MEMBER ' + QUOTENAME(@login);
IF NOT EXISTS (
    SELECT 1
    FROM sys.database_role_members AS m
    INNER JOIN sys.database_principals AS r
        ON m.role_principal_id = r.principal_id
    INNER JOIN sys.database_principals AS u
        ON m.member_principal_id = u.principal_id
    WHERE r.name = @role AND u.name = @login
)
    EXEC (@statement);
"""

_LET = """
DECLARE @role sysname = %s;
DECLARE @table sysname = %s;
DECLARE @statement nvarchar(MAX) = N'GRANT {rights} ON ' + QUOTENAME(@table) + N' TO ' + QUOTENAME(@role);
EXEC (@statement);
"""
LET_READ = _LET.replace("{rights}", "SELECT")
LET_WRITE = _LET.replace("{rights}", "SELECT, INSERT, UPDATE, DELETE")

BATCHES = (
    CREATE_DATABASE,
    VERSION_ROWS,
    PUT_ROLE,
    PUT_LOGIN,
    PUT_CONTAINED_USER,
    PUT_USER,
    ADD_MEMBER,
    LET_READ,
    LET_WRITE,
)


def create_database(maintenance: BaseDatabaseWrapper, name: str) -> bool:
    """Create the database with READ_COMMITTED_SNAPSHOT on if it is missing; return whether it was missing.

    An existing database keeps its setting, because changing it would end its sessions. If the administrator may not
    open the database, a later step fails with the reason.
    """
    with maintenance.cursor() as cursor:
        cursor.execute("SELECT COUNT(*) FROM sys.databases WHERE name = %s", [name])
        if cursor.fetchone()[0]:
            return False
    _execute(maintenance, CREATE_DATABASE, name)
    _execute(maintenance, VERSION_ROWS, name)
    return True


def put_role(connection: BaseDatabaseWrapper, role: str) -> None:
    """Create the role if missing."""
    _execute(connection, PUT_ROLE, role)


def put_login(connection: BaseDatabaseWrapper, login: Login) -> None:
    """Create the login, or set its password, and grant it this database with its roles.

    On Azure SQL Database a contained user is created instead. Raises ConfigurationError if the name belongs to a user
    with a server login, whose password only the server's administrator can change, in master.
    """
    if _is_azure_database(connection):
        if _has_login_of_the_server(connection, login.name):
            raise ConfigurationError(
                f"the user {login.name} has a login of the server's: give it its password there, in master, and leave "
                "it out here; or drop the user"
            )
        _execute(connection, PUT_CONTAINED_USER, login.name, login.password)
    else:
        _execute(connection, PUT_LOGIN, login.name, login.password)
        _execute(connection, PUT_USER, login.name)
    for role in login.roles:
        _execute(connection, ADD_MEMBER, role, login.name)


def _is_azure_database(connection: BaseDatabaseWrapper) -> bool:
    """Whether this is Azure SQL Database; a managed instance has logins like any server."""
    return _number(connection, "SELECT CAST(SERVERPROPERTY(N'EngineEdition') AS int)") == AZURE_SQL_DATABASE


def _has_login_of_the_server(connection: BaseDatabaseWrapper, name: str) -> bool:
    sql = "SELECT COUNT(*) FROM sys.database_principals WHERE name = %s AND authentication_type = 1"
    return _number(connection, sql, name) > 0


def _number(connection: BaseDatabaseWrapper, sql: str, *values: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return int(cursor.fetchone()[0])


def grant_use(connection: BaseDatabaseWrapper, role: str, *, reads: Sequence[str], writes: Sequence[str]) -> None:
    """Let the role read some tables of the connection's default schema, and read and write others."""
    for table in reads:
        _execute(connection, LET_READ, role, table)
    for table in writes:
        _execute(connection, LET_WRITE, role, table)


def _execute(connection: BaseDatabaseWrapper, batch: str, *values: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(batch, values)
        # An error after the first result only appears once the remaining results are read.
        while cursor.nextset():
            pass
