"""What set-up sends to SQL Server is T-SQL, and nobody's name or password is ever part of its text."""

import os
import subprocess
from pathlib import Path

import pytest
import sqlfluff
from django.db import OperationalError
from django.db.backends.base.base import NO_DB_ALIAS
from hypothesis import given
from hypothesis import strategies as st

from derive.errors import ConfigurationError
from derive.sql.set_up import sqlserver
from derive.sql.set_up.logins import MAX_PASSWORD_UNITS, ROLES_OF, WEB_LOGIN, WORKER_LOGIN, Login, logins_of
from derive.sql.set_up.steps import _create_database, site_tables


class RecordingCursor:
    """Stands where a SQL Server's would: what is sent is all that can be judged without one."""

    def __init__(self, sent: list[tuple[str, tuple[str, ...]]], edition: int, users_with_login: int) -> None:
        self._sent = sent
        self._edition = edition
        self._users_with_login = users_with_login

    def __enter__(self) -> "RecordingCursor":
        return self

    def __exit__(self, *_raised: object) -> None:
        return None

    def execute(self, batch: str, values: tuple[str, ...]) -> None:
        self._sent.append((batch, values))

    def nextset(self) -> bool:
        return False

    def fetchone(self) -> tuple[int]:
        batch, _ = self._sent.pop()
        return (self._edition if "EngineEdition" in batch else self._users_with_login,)


class RecordingConnection:
    """Keeps what changes something; an on-premises server unless told otherwise."""

    def __init__(self, *, edition: int = 3, users_with_login: int = 0) -> None:
        self._answers = (edition, users_with_login)
        self.settings_dict = {"NAME": "Holocron"}
        self.sent: list[tuple[str, tuple[str, ...]]] = []

    def cursor(self) -> RecordingCursor:
        return RecordingCursor(self.sent, *self._answers)

    def close(self) -> None:
        return None


class RefusingConnection:
    """The way to a database that cannot be opened; ``maintenance`` is the way to the server's own."""

    def __init__(self, error: OperationalError) -> None:
        self._error = error
        self.settings_dict = {"NAME": "Holocron"}
        self.maintenance = RecordingConnection()

    def ensure_connection(self) -> None:
        raise self._error

    def copy(self, alias: str) -> RecordingConnection:
        assert alias == NO_DB_ALIAS, "or its encoding would be judged"
        return self.maintenance


def as_driver_sees(batch: str) -> str:
    """As mssql-django hands it on: a question mark for each parameter; a variable, for whoever only parses."""
    return batch.replace("%s", "@p")


@pytest.mark.parametrize("batch", sqlserver.BATCHES)
def test_every_batch_is_t_sql(batch: str, tmp_path: Path) -> None:
    parsed = sqlfluff.parse(as_driver_sees(batch), dialect="tsql")
    assert "unparsable" not in str(parsed)
    checker = os.environ.get("TSQL_CHECK")
    if checker:
        path = tmp_path / "batch.sql"
        path.write_text(as_driver_sees(batch), "utf-8")
        subprocess.run([checker, path], check=True, timeout=120)


@pytest.mark.parametrize("batch", sqlserver.BATCHES)
def test_every_name_and_password_is_quoted_by_the_server(batch: str) -> None:
    declared = {line.split()[1] for line in batch.splitlines() if line.startswith("DECLARE @") and "= %s" in line}
    used_in_statements = [line for line in batch.splitlines() if " + " in line]
    for variable in declared:
        for line in used_in_statements:
            assert line.count(variable) == line.count(f"QUOTENAME({variable}"), line


@given(st.text(max_size=40), st.text(max_size=40))
def test_logins_are_only_sent_as_parameters(name: str, password: str) -> None:
    connection = RecordingConnection()
    login = Login(name=name, password=password, roles=("llm_worker",))
    sqlserver.put_login(connection, login)  # type: ignore[arg-type]
    assert connection.sent == [
        (sqlserver.PUT_LOGIN, (name, password)),
        (sqlserver.PUT_USER, (name,)),
        (sqlserver.ADD_MEMBER, ("llm_worker", name)),
    ]
    assert all(batch.count("%s") == len(values) for batch, values in connection.sent)


@given(st.text(max_size=40), st.text(max_size=40))
def test_on_azure_sql_database_a_contained_user_is_created(name: str, password: str) -> None:
    connection = RecordingConnection(edition=sqlserver.AZURE_SQL_DATABASE)
    sqlserver.put_login(connection, Login(name=name, password=password, roles=("llm_worker",)))  # type: ignore[arg-type]
    assert connection.sent == [
        (sqlserver.PUT_CONTAINED_USER, (name, password)),
        (sqlserver.ADD_MEMBER, ("llm_worker", name)),
    ]
    for batch, _values in connection.sent:
        assert "sys.server_principals" not in batch
        assert " LOGIN" not in batch


def test_an_azure_user_with_a_server_login_is_refused() -> None:
    connection = RecordingConnection(edition=sqlserver.AZURE_SQL_DATABASE, users_with_login=1)
    with pytest.raises(ConfigurationError, match="in master"):
        sqlserver.put_login(connection, Login(name=WORKER_LOGIN, password="hush", roles=()))  # type: ignore[arg-type]
    assert connection.sent == []


def test_a_login_without_a_password_is_not_made() -> None:
    assert logins_of({WORKER_LOGIN: "", WEB_LOGIN: "x"}) == (
        Login(name=WEB_LOGIN, password="x", roles=ROLES_OF[WEB_LOGIN]),
    )


@pytest.mark.parametrize("password", ["x" * (MAX_PASSWORD_UNITS + 1), "\U0001f600" * 65, " x", "x "])
def test_a_password_that_one_engine_could_not_take_is_refused_for_both(password: str) -> None:
    with pytest.raises(ConfigurationError, match=WORKER_LOGIN) as refused:
        logins_of({WORKER_LOGIN: password})
    assert password not in str(refused.value)


def test_a_password_is_not_shown_with_its_login() -> None:
    assert "hush" not in repr(Login(name=WORKER_LOGIN, password="hush", roles=()))


def test_the_sites_tables_are_djangos_own_and_none_of_the_queue() -> None:
    tables = site_tables()
    assert {"auth_user", "auth_user_groups", "django_session", "django_q_schedule", "axes_accessattempt"} <= set(tables)
    assert not [table for table in tables if "llm" in table]


@pytest.mark.parametrize(
    "said", ['Cannot open database "Holocron" requested by the login.', "Login failed for user 'sa'."]
)
def test_a_database_that_is_not_there_is_made_from_the_servers_own(said: str) -> None:
    """SQL Server says of it that the login failed; if it truly did, the server's own database says so too."""
    connection = RefusingConnection(OperationalError(said))
    assert _create_database(sqlserver, connection)  # type: ignore[arg-type]
    assert connection.maintenance.settings_dict["NAME"] == "master"
    assert connection.maintenance.sent[-2:] == [
        (sqlserver.CREATE_DATABASE, ("Holocron",)),
        (sqlserver.VERSION_ROWS, ("Holocron",)),
    ]


def test_a_new_database_reads_by_row_versions() -> None:
    assert "SET READ_COMMITTED_SNAPSHOT ON" in sqlserver.VERSION_ROWS


def test_a_server_that_is_down_is_not_asked_for_its_own_database() -> None:
    connection = RefusingConnection(OperationalError("unable to establish connection"))
    with pytest.raises(OperationalError, match="unable to establish"):
        _create_database(sqlserver, connection)  # type: ignore[arg-type]
