"""What the two engines and their drivers say, as one line that says what to do."""

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, ProgrammingError

from holocron.database_errors import describe

DATABASE = {"PASSWORD": "p;{}@%", "HOST": "h", "PORT": "1"}

DRIVER = "Driver Error:"
DDBC = "DDBC Error: [Microsoft][SQL Server]"


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ('connection failed: FATAL:  password authentication failed for user "me"', "user or the password"),
        ("[Microsoft][SQL Server]Login failed for user 'sa'.", "user or the password"),
        ('FATAL:  database "holo" does not exist', "does not exist"),
        (
            'Cannot open database "Holo" requested by the login. The login failed. Login failed for user',
            "does not exist",
        ),
        (
            "Driver Error: Client unable to establish connection; DDBC Error: [Microsoft]TCP Provider",
            "does not answer at",
        ),
        ('connection to server at "127.0.0.1", port 1 failed: Connection refused', "does not answer at"),
        ("SSL Provider: [error:0A000086:SSL routines::certificate verify failed:self-signed certificate]", "encrypted"),
        ("CREATE TABLE permission denied in database 'Holocron'.", "may not do this"),
        ("permission denied for schema public", "may not do this"),
        ("Driver Error: Connection operation failed; DDBC Error: Failed to load the driver. Please", "libkrb5-3"),
        # As mssql_python puts its own words for the SQLSTATE before the server's; of several it hands on the first.
        (f"{DRIVER} Invalid authorization specification; {DDBC}Login failed for user 'me'.", "that is not there"),
        (
            f"{DRIVER} Syntax error or access violation; {DDBC}The EXECUTE permission was denied on the object",
            "its role",
        ),
        ('The server principal "me" is not able to access the database "Holocron" under the current', "its role"),
        ("CREATE DATABASE permission denied in database 'master'.", "may not do this"),
        ("User does not have permission to perform this action.", "may not do this"),
        ("Could not find stored procedure 'llm.usp_claim_next_job'.", "manage.py migrate"),
        ("Password validation failed. The password does not meet SQL Server password policy", "8 characters or more"),
        ("Driver Error: Communication link failure; DDBC Error: [Microsoft]TCP Provider", "does not answer at"),
        ("Driver Error: Timeout expired; DDBC Error: [Microsoft]Login timeout expired", "does not answer at"),
        ("the embedded PostgreSQL did not start: no space left", "no space left"),
        ("something else entirely", "the database failed: something else entirely"),
    ],
)
def test_a_database_that_cannot_be_used_says_what_to_do(said: str, advice: str) -> None:
    line = describe(OperationalError(said), database=DATABASE)
    assert line is not None
    assert advice in line


def test_missing_tables_ask_for_migrate() -> None:
    for said in ('relation "llm.job" does not exist\nLINE 1', "Invalid object name 'llm.job'."):
        line = describe(ProgrammingError(said), database=DATABASE)
        assert line is not None
        assert "manage.py migrate" in line
        assert "\n" not in line


def test_an_error_of_ours_keeps_its_traceback() -> None:
    assert describe(ProgrammingError("syntax error at or near"), database=DATABASE) is None
    assert (
        describe(
            ImproperlyConfigured("The included URLconf does not appear to have any patterns in it"), database=DATABASE
        )
        is None
    )


def test_the_line_never_contains_the_password() -> None:
    line = describe(OperationalError("Connection refused PWD=p;{}@%"), database=DATABASE)
    assert "p;{}@%" not in str(line)
    assert "h:1" in str(line)
