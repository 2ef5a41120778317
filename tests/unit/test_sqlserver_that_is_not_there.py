"""SQL Server's real driver before an address where none answers: one clear line, soon, and no password in it."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from urllib.parse import quote

import mssql_python
import pytest
from django.db import Error as DjangoDatabaseError
from mssql.base import DatabaseWrapper
from pytest_django import DjangoDbBlocker

from derive.errors import DatabaseUnavailable
from derive.sql.fault_codes import Meaning
from derive.sql.faults import queue_error, read_fault
from holocron import settings
from holocron.database_errors import describe
from holocron.database_url import read_database_url

# Every mark that an address, or ODBC, gives a meaning to.
PASSWORD = "s;cr{t}@%/#?"
TALK_SECONDS = 10


def prelogin(encryption: int) -> bytes:
    """Return the first answer of a TDS server: its version, and what it says about encryption (MS-TDS 2.2.6.5)."""
    options = struct.pack(">BHHBHHB", 0, 11, 6, 1, 17, 1, 0xFF)
    body = options + bytes((16, 0, 0, 0, 0, 0, encryption))
    return struct.pack(">BBHHBB", 4, 1, 8 + len(body), 0, 1, 0) + body


NO_ENCRYPTION, ENCRYPTION = prelogin(2), prelogin(1)


@pytest.fixture(autouse=True)
def connecting_allowed(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Let these tests connect; no database of the tests' own is touched."""
    with django_db_blocker.unblock():
        yield


@pytest.fixture
def servers() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def serve(servers: ExitStack, answer: bytes) -> int:
    """Answer each caller's first words with these bytes, then hang up; return the port."""
    listening = servers.enter_context(closing(socket.create_server(("127.0.0.1", 0))))
    listening.settimeout(TALK_SECONDS)

    def talk() -> None:
        while True:
            try:
                caller, _address = listening.accept()
                with caller:
                    caller.settimeout(TALK_SECONDS)
                    caller.recv(4096)
                    caller.sendall(answer)
            except TimeoutError:
                continue
            except OSError:
                return

    threading.Thread(target=talk, daemon=True).start()
    return int(listening.getsockname()[1])


def backend(port: int) -> DatabaseWrapper:
    url = f"mssql://ada:{quote(PASSWORD, safe='')}@127.0.0.1:{port}/Holocron"
    entry = read_database_url(url, var_folder=Path("unused"))
    options = {**entry["OPTIONS"], "connection_timeout": 1}
    return DatabaseWrapper({"AUTOCOMMIT": True, "TIME_ZONE": None, **entry, "OPTIONS": options}, alias="elsewhere")


def refusal(port: int) -> DjangoDatabaseError:
    with pytest.raises(DjangoDatabaseError) as refused:
        backend(port).ensure_connection()
    return refused.value


def tells_nothing_secret(error: BaseException) -> None:
    link: BaseException | None = error
    while link is not None:
        assert PASSWORD not in repr(link)
        assert PASSWORD not in str(link)
        link = link.__cause__


@pytest.mark.parametrize(
    ("answer", "advice"),
    [
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not answer at 127.0.0.1", id="a-web-server"),
        pytest.param(b"", "does not answer at 127.0.0.1", id="one-that-hangs-up"),
        pytest.param(ENCRYPTION + b"no TLS", "does not answer at 127.0.0.1", id="one-that-speaks-no-tls"),
        pytest.param(NO_ENCRYPTION, "no encrypted connection", id="one-without-encryption"),
    ],
)
def test_who_is_no_sql_server_is_reported_as_a_database_that_cannot_be_used(
    servers: ExitStack, answer: bytes, advice: str
) -> None:
    port = serve(servers, answer)
    error = refusal(port)
    tells_nothing_secret(error)
    assert read_fault(error).meaning == Meaning.LOST
    assert isinstance(queue_error(read_fault(error), "usp_x"), DatabaseUnavailable)
    line = describe(error, database=backend(port).settings_dict)
    assert line is not None
    assert advice in line


def test_a_closed_port_is_reported_quickly(servers: ExitStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    error = refusal(port)
    tells_nothing_secret(error)
    assert read_fault(error).meaning == Meaning.LOST


def test_the_driver_keeps_no_pool_beneath_djangos_connections() -> None:
    assert settings.DATABASE_CONNECTION_POOLING is False
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    refusal(port)
    assert not mssql_python.PoolingManager.is_enabled()
