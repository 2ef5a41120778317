"""Kept connections against a server that sends whatever a test says, byte for byte."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from derive.model_servers.connections import MAX_HEAD_BYTES, Connections, Response

OK = b"HTTP/1.1 200 OK\r\n"
WHOLE = OK + b"Content-Length: 2\r\n\r\nhi"
CLOSES = b"<closes>"
"""At an answer's end: the server closes the connection."""


class Scripted:
    """Answers each request with the next answer."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.connections = 0
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.requests.append(await reader.readuntil(b"\r\n\r\n"))
                answer = self.answers.pop(0)
                writer.write(answer.removesuffix(CLOSES))
                if answer.endswith(CLOSES):
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


def talk(scripted: Scripted, use: Callable[[Connections], Awaitable[None]], *, keepalive_seconds: float = 5) -> None:
    async def run() -> None:
        server = await asyncio.start_server(scripted.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        connections = Connections(
            httpx.URL(f"http://127.0.0.1:{port}/ollama/"),
            tls=None,
            headers={"x-who": "us"},
            connect_seconds=5,
            keepalive_seconds=keepalive_seconds,
        )
        try:
            async with asyncio.timeout(20):
                await use(connections)
        finally:
            await connections.aclose()
            server.close()

    asyncio.run(run())


async def get(connections: Connections) -> bytes:
    response = await connections.send("GET", "/api/tags", None)
    return await rest_of(response)


async def post(connections: Connections) -> bytes:
    """Make a call that aiohttp, unlike a GET, never repeats by itself."""
    return await rest_of(await connections.send("POST", "/api/chat", b"{}"))


async def rest_of(response: Response) -> bytes:
    try:
        whole = b""
        while some := await response.read_some():
            whole += some
        return whole
    finally:
        response.close()


def test_a_request_names_the_host_the_path_and_our_headers() -> None:
    scripted = Scripted(WHOLE)

    async def use(connections: Connections) -> None:
        assert await get(connections) == b"hi"

    talk(scripted, use)
    first, *headers = scripted.requests[0].decode().splitlines()
    assert first == "GET /ollama/api/tags HTTP/1.1"
    assert "x-who: us" in headers
    assert headers[0].startswith("Host: 127.0.0.1:")


@pytest.mark.parametrize(
    ("answer", "connections_made"),
    [
        (WHOLE, 1),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", 1),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + WHOLE, 1),
        (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhi", 2),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", 2),
        (OK + b"\r\nhi" + CLOSES, 2),
    ],
    ids=["length", "chunked", "1xx", "told to close", "HTTP/1.0", "without a length"],
)
def test_a_connection_is_reused_as_http_allows(answer: bytes, connections_made: int) -> None:
    scripted = Scripted(answer, WHOLE)

    async def use(connections: Connections) -> None:
        assert await get(connections) == b"hi"
        assert await get(connections) == b"hi"

    talk(scripted, use)
    assert scripted.connections == connections_made


def test_a_request_that_meets_a_kept_connection_being_closed_is_answered_on_a_new_one() -> None:
    """Not on another kept one, which may be closed as well."""
    scripted = Scripted(WHOLE, WHOLE, CLOSES, WHOLE)

    async def use(connections: Connections) -> None:
        await asyncio.gather(post(connections), post(connections))
        assert scripted.connections == 2
        assert await post(connections) == b"hi"

    talk(scripted, use)
    assert (scripted.connections, len(scripted.requests)) == (3, 4)


def test_a_request_is_sent_again_once_at_most() -> None:
    scripted = Scripted(WHOLE, WHOLE, WHOLE, CLOSES, CLOSES, WHOLE)

    async def use(connections: Connections) -> None:
        await asyncio.gather(post(connections), post(connections), post(connections))
        with pytest.raises(httpx.RemoteProtocolError):
            await post(connections)

    talk(scripted, use)
    assert (scripted.connections, len(scripted.requests)) == (4, 5)


def test_a_new_connection_that_is_closed_without_an_answer_ends_the_call() -> None:
    scripted = Scripted(CLOSES, WHOLE)

    async def use(connections: Connections) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            await post(connections)

    talk(scripted, use)
    assert scripted.connections == 1


def test_a_connection_idle_for_too_long_is_used_no_more() -> None:
    scripted = Scripted(WHOLE, WHOLE)

    async def use(connections: Connections) -> None:
        await get(connections)
        await get(connections)

    talk(scripted, use, keepalive_seconds=-1)
    assert scripted.connections == 2


def test_a_connection_whose_answer_was_left_is_used_no_more() -> None:
    scripted = Scripted(OK + b"Content-Length: 3\r\n\r\nhi", WHOLE)

    async def use(connections: Connections) -> None:
        response = await connections.send("GET", "/api/tags", None)
        response.close()
        assert await get(connections) == b"hi"

    talk(scripted, use)
    assert scripted.connections == 2


def test_an_unsolicited_response_is_not_taken_as_an_answer() -> None:
    scripted = Scripted(WHOLE + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", WHOLE)

    async def use(connections: Connections) -> None:
        assert await get(connections) == b"hi"
        assert await get(connections) == b"hi"

    talk(scripted, use)
    assert scripted.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        OK + b"X: " + b"x" * (MAX_HEAD_BYTES + 1),
        OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nh\r\n0\r\nX: " + b"x" * (MAX_HEAD_BYTES + 40_000),
        b"SSH-2.0-OpenSSH_9\r\n",
        OK + b"Content-Length: 3\r\n\r\nhi" + CLOSES,
        CLOSES,
    ],
    ids=["an endless head", "an endless trailer", "no HTTP", "a cut body", "nothing"],
)
def test_an_answer_that_is_none_ends_the_call(answer: bytes) -> None:
    async def use(connections: Connections) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            await get(connections)

    talk(Scripted(answer), use)
