"""DATABASE_URL as Django's settings, and as what the drivers make of them."""

from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mssql.base import DatabaseWrapper
from mssql_python.connection_string_parser import _ConnectionStringParser

from holocron.database_url import read_database_url, read_password
from holocron.environment import SettingsError

VAR = Path("/somewhere/var")


def read(url: str) -> dict[str, Any]:
    return read_database_url(url, var_folder=VAR)


def driver_keywords(entry: dict[str, Any]) -> dict[str, str]:
    """What SQL Server's driver reads out of the connection string that mssql-django builds."""
    wrapper = DatabaseWrapper({**entry, "TIME_ZONE": None}, "default")
    text = wrapper._build_connection_string(wrapper.get_connection_params(), "unused")
    return dict(_ConnectionStringParser(validate_keywords=True)._parse(text))


def test_no_address_is_the_embedded_engine_below_the_var_folder() -> None:
    entry = read("")
    assert entry["ENGINE"] == "holocron.embedded_postgres"
    assert entry["EMBEDDED_FOLDER"] == "/somewhere/var/postgres"


def test_a_postgresql_address_with_options() -> None:
    entry = read("postgresql://me:p%40ss%2Fw@db.example:6543/holo%20cron?sslmode=verify-full&application_name=x")
    assert entry["ENGINE"] == "django.db.backends.postgresql"
    assert (entry["HOST"], entry["PORT"], entry["NAME"]) == ("db.example", "6543", "holo cron")
    assert (entry["USER"], entry["PASSWORD"]) == ("me", "p@ss/w")
    assert entry["OPTIONS"]["sslmode"] == "verify-full"


@pytest.mark.parametrize("url", ["", "postgresql://h/d", "mssql://u:p@h/d"])
def test_connections_are_kept_and_checked_before_use(url: str) -> None:
    assert read(url)["CONN_MAX_AGE"] is None
    assert read(url)["CONN_HEALTH_CHECKS"] is True


def test_connections_to_sql_server_are_encrypted_unless_disabled() -> None:
    assert driver_keywords(read("mssql://sa:x@h:1433/Holocron")) == {
        "server": "h,1433",
        "uid": "sa",
        "pwd": "x",
        "database": "Holocron",
        "encrypt": "yes",
        "trustservercertificate": "no",
    }
    relaxed = driver_keywords(read("mssql://sa:x@h/Holocron?encrypt=optional&TrustServerCertificate=yes"))
    assert (relaxed["encrypt"], relaxed["trustservercertificate"]) == ("optional", "yes")


def test_the_driver_with_microsofts_odbc_in_its_wheel_is_used() -> None:
    assert read("mssql://sa:x@h/d")["OPTIONS"]["python_driver"] == "mssql_python"


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip))
def test_any_password_reaches_sql_servers_driver_as_it_is(password: str) -> None:
    if password != password.strip():
        with pytest.raises(SettingsError, match="blank"):
            read(f"mssql://sa:{quote(password, safe='')}@h:1433/Holocron")
        return
    entry = read(f"mssql://sa:{quote(password, safe='')}@h:1433/Holocron")
    assert driver_keywords(entry)["pwd"] == password


def test_an_options_marks_do_not_end_it() -> None:
    entry = read("mssql://sa:x@h/d?HostNameInCertificate=a%3Bb%7D")
    assert driver_keywords(entry)["hostnameincertificate"] == "a;b}"


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("sqlite:///db.sqlite3", "SQLite"),
        ("mysql://h/d", "mssql:// or postgresql://"),
        ("Holocron", "mssql:// or postgresql://"),
        ("mssql://sa:secret@h:1433", "name one database"),
        ("mssql://sa:secret@/Holocron", "name a host"),
        ("mssql://sa:sec ret@h/d", "percent-encode"),
        ("mssql://sa:sec/ret@h/d", "percent-encode"),
        ("mssql://sa:sec#ret@h/d", "percent-encode"),
        ("mssql://sa:secret@h/d?PWD=secret", "before the host"),
        ("mssql://sa:secret@h/d?Encrypt", "key=value"),
        ("postgresql://me:secret@h:port/d", "percent-encode"),
        ("postgresql://me:secret@h/d?sslmod=require", "sslmod"),
    ],
)
def test_an_invalid_address_says_what_to_write_without_the_password(url: str, advice: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(url)
    assert advice in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "sec" not in str(caught.value).replace("second", "")


@pytest.mark.parametrize("url", ["mssql://sa@h:1433/Holocron", "postgresql://sa@h/holocron"])
@pytest.mark.parametrize("password", ["p;{}@%/#:'\"\\ü", "100%25", " blanks within "])
def test_a_separate_password_is_used_unchanged(url: str, password: str) -> None:
    if url.startswith("mssql") and password != password.strip():
        with pytest.raises(SettingsError, match="blank"):
            read_database_url(url, var_folder=VAR, password=password)
        return
    entry = read_database_url(url, var_folder=VAR, password=password)
    assert (entry["USER"], entry["PASSWORD"]) == ("sa", password)
    if url.startswith("mssql"):
        assert driver_keywords(entry)["pwd"] == password


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("mssql://sa:hush@h/d", "leave one out"),
        ("postgresql://h/d", "names no user"),
        ("", "without a DATABASE_URL"),
    ],
)
def test_a_password_that_has_no_place_is_refused(url: str, advice: str) -> None:
    with pytest.raises(SettingsError, match=advice) as refused:
        read_database_url(url, var_folder=VAR, password="hush-beside")
    assert "hush" not in str(refused.value)


def test_a_password_file_holds_the_password_in_its_first_line(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_bytes("p;{}@% ü\r\nnot this\n".encode())
    assert read_password("", file=file) == "p;{}@% ü"
    assert read_password("x", file=None) == "x"


def test_an_unreadable_password_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"{tmp_path}.* cannot be read: No such file"):
        read_password("", file=tmp_path / "none")
    (tmp_path / "latin").write_bytes(b"\xfc")
    with pytest.raises(SettingsError, match="not UTF-8"):
        read_password("", file=tmp_path / "latin")
    with pytest.raises(SettingsError, match="both set"):
        read_password("x", file=tmp_path / "none")
