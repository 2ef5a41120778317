"""HTTP/1.1 as a server of Ollama's protocol speaks it: requests off a connection, answers whole or as NDJSON chunks.

On asyncio's protocols: a framework would cost the bench its processor time. An ``Exchange`` can also break every rule,
which the tests' server needs.
"""

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from http.client import responses
from typing import Any

from typing_extensions import override

TLS_HANDSHAKE = b"\x16\x03"
MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024
NOT_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
)
"""What Go's server, and so Ollama, answers to what is not HTTP, such as a client that begins to speak TLS."""
JSON_TYPE = "application/json; charset=utf-8"
NDJSON_TYPE = "application/x-ndjson"


class BadRequest(ValueError):
    """The request cannot be answered: HTTP status 400 with this message."""


@dataclass(frozen=True)
class ReceivedRequest:
    """What came over the wire. Header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @cached_property
    def json(self) -> Any:
        """The body as JSON; raises ValueError or RecursionError when it is not."""
        return json.loads(self.body)


class Exchange:
    """One request being answered."""

    def __init__(self, request: ReceivedRequest, connection: "Connection", *, server_name: str = "") -> None:
        self.request = request
        self._connection = connection
        self._server_name = server_name
        self._is_chunked = False

    def write(self, data: bytes) -> None:
        """Send bytes as they are; none to a client that has gone."""
        if not self._connection.transport.is_closing():
            self._connection.transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written; cancelled when it has gone.

        An event that is set is not waited for: without the sleep an endless stream would starve the loop, which
        then never learns that the client has gone.
        """
        await asyncio.sleep(0)
        await self._connection.writable.wait()

    def head(self, status: int = 200, headers: dict[str, str] | None = None, *, length: int | None = None) -> None:
        """Send status and headers; without a length the body is chunked."""
        self._is_chunked = length is None
        fields = {"Content-Type": NDJSON_TYPE} | ({"Server": self._server_name} if self._server_name else {})
        fields |= {"Transfer-Encoding": "chunked"} if length is None else {"Content-Length": str(length)}
        lines = "".join(f"{name}: {value}\r\n" for name, value in (fields | (headers or {})).items())
        self.write(f"HTTP/1.1 {status} {responses.get(status, 'Unknown')}\r\n{lines}\r\n".encode())

    def chunk(self, data: bytes) -> None:
        """Send a piece of the body."""
        self.write(chunk(data) if self._is_chunked else data)

    def line(self, record: dict[str, Any]) -> None:
        """Send one line of NDJSON."""
        self.chunk(ndjson(record))

    def end(self) -> None:
        """Say that the body is whole."""
        if self._is_chunked:
            self.write(LAST_CHUNK)

    def whole(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send a whole answer at once."""
        self.head(status, {"Content-Type": JSON_TYPE} | (headers or {}), length=len(body))
        if self.request.method != "HEAD":
            self.write(body)

    def json(self, value: Any, *, status: int = 200) -> None:
        """Send a JSON value as a whole answer."""
        self.whole(status, json.dumps(value, ensure_ascii=False).encode(errors="replace"))

    def error(self, status: int, message: str) -> None:
        """Send Ollama's error object."""
        self.json({"error": message}, status=status)

    def close(self) -> None:
        """Close the connection in good order, in the middle of whatever it was."""
        self._connection.transport.close()

    def reset(self) -> None:
        """Break the connection: the client sees ECONNRESET."""
        transport = self._connection.transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


class Connection(asyncio.Protocol):
    """Reads requests off one connection and hands each to ``answer`` when the one before is answered."""

    transport: asyncio.Transport

    def __init__(
        self,
        answer: Callable[["Connection", ReceivedRequest], None],
        on_open: Callable[["Connection"], None],
        on_close: Callable[["Connection"], None],
    ) -> None:
        self._answer = answer
        self._on_open = on_open
        self._on_close = on_close
        self._received = bytearray()
        self.writable = asyncio.Event()
        self.writable.set()
        self.task: asyncio.Task[None] | None = None
        self.is_answering = False
        self.is_open = True

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (what create_server makes)
        self.transport = transport
        self._on_open(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Stop what is being answered: nobody is there to read it."""
        self.is_open = False
        self.writable.set()
        if self.task is not None:
            self.task.cancel()
        self._on_close(self)

    @override
    def pause_writing(self) -> None:
        """Note that the client reads more slowly than it is sent to."""
        self.writable.clear()

    @override
    def resume_writing(self) -> None:
        """Note that it has caught up."""
        self.writable.set()

    @override
    def data_received(self, data: bytes) -> None:
        """Take bytes; answer as soon as they are a whole request."""
        self._received += data
        self._next_request()

    def answered(self) -> None:
        """Note that the answer is out: the next request may come."""
        self.is_answering = False
        self.task = None
        if self.is_open and self._received:
            self._next_request()

    def _next_request(self) -> None:
        if self.is_answering or self.transport.is_closing():
            return
        end = self._received.find(b"\r\n\r\n")
        if end < 0 and len(self._received) <= MAX_HEAD_BYTES and not self._received.startswith(TLS_HANDSHAKE):
            return
        first, *fields = self._received[: max(end, 0)].decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        method, _, rest = first.partition(" ")
        path, _, version = rest.partition(" ")
        length = headers.get("content-length", "0")
        # A body whose end is not known cannot be told from the next request.
        is_bounded = "transfer-encoding" not in headers and length.isdecimal() and int(length) <= MAX_BODY_BYTES
        if not version.startswith("HTTP/1.") or not is_bounded:
            self.transport.write(NOT_HTTP)
            self.transport.close()
            return
        body_end = end + 4 + int(length)
        if len(self._received) < body_end:
            return
        request = ReceivedRequest(method, path, headers, bytes(self._received[end + 4 : body_end]))
        del self._received[:body_end]
        self.is_answering = True
        self._answer(self, request)


LAST_CHUNK = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Return a piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def ndjson(record: dict[str, Any]) -> bytes:
    """Return a record as a line of NDJSON."""
    return json.dumps(record, ensure_ascii=False).encode(errors="replace") + b"\n"


def chat_line(content: str, *, model: str, created_at: str, done: bool = False, **message: Any) -> dict[str, Any]:
    """Return a line of a streamed answer: a piece of its message."""
    said = {"role": "assistant", "content": content} | message
    return {"model": model, "created_at": created_at, "message": said, "done": done}


def split(text: str, pieces: int) -> list[str]:
    """Return a text in at most so many pieces of about the same size."""
    size = max(1, -(-len(text) // pieces))
    return [text[at : at + size] for at in range(0, len(text), size)]
