"""HTTP/1.1 for a server of Ollama's protocol: reads requests, and sends answers at once or as NDJSON chunks.

Built on asyncio's protocols, because a framework would use too much processor time in benchmarks. An ``Exchange`` can
also violate the protocol, which the tests' server needs.
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
"""The answer of Go's server, and so of Ollama, to anything but HTTP, such as a TLS handshake."""
JSON_TYPE = "application/json; charset=utf-8"
NDJSON_TYPE = "application/x-ndjson"


class BadRequest(ValueError):
    """The request is invalid: HTTP status 400 with this message."""


@dataclass(frozen=True)
class ReceivedRequest:
    """A request as received. Header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @cached_property
    def json(self) -> Any:
        """The body as JSON; raises ValueError or RecursionError if it is invalid."""
        return json.loads(self.body)


class Exchange:
    """One request being answered."""

    def __init__(self, request: ReceivedRequest, connection: "Connection", *, server_name: str = "") -> None:
        self.request = request
        self._connection = connection
        self._server_name = server_name
        self._is_chunked = False

    def write(self, data: bytes) -> None:
        """Send bytes unchanged, unless the client has disconnected."""
        if not self._connection.transport.is_closing():
            self._connection.transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has read most of what was written; cancelled if it disconnects.

        Awaiting an event that is set does not yield, so without the sleep an endless stream would starve the loop,
        which would then never notice that the client has disconnected.
        """
        await asyncio.sleep(0)
        await self._connection.writable.wait()

    def head(self, status: int = 200, headers: dict[str, str] | None = None, *, length: int | None = None) -> None:
        """Send status and headers; the body is chunked if it has no length."""
        self._is_chunked = length is None
        fields = {"Content-Type": NDJSON_TYPE} | ({"Server": self._server_name} if self._server_name else {})
        fields |= {"Transfer-Encoding": "chunked"} if length is None else {"Content-Length": str(length)}
        lines = "".join(f"{name}: {value}\r\n" for name, value in (fields | (headers or {})).items())
        self.write(f"HTTP/1.1 {status} {responses.get(status, 'Unknown')}\r\n{lines}\r\n".encode())

    def chunk(self, data: bytes) -> None:
        """Send a chunk of the body."""
        self.write(chunk(data) if self._is_chunked else data)

    def line(self, record: dict[str, Any]) -> None:
        """Send one line of NDJSON."""
        self.chunk(ndjson(record))

    def end(self) -> None:
        """Mark the end of the body."""
        if self._is_chunked:
            self.write(LAST_CHUNK)

    def whole(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send a complete answer at once."""
        self.head(status, {"Content-Type": JSON_TYPE} | (headers or {}), length=len(body))
        if self.request.method != "HEAD":
            self.write(body)

    def json(self, value: Any, *, status: int = 200) -> None:
        """Send a JSON value as a complete answer."""
        self.whole(status, json.dumps(value, ensure_ascii=False).encode(errors="replace"))

    def error(self, status: int, message: str) -> None:
        """Send Ollama's error object."""
        self.json({"error": message}, status=status)

    def close(self) -> None:
        """Close the connection cleanly, even in the middle of a body."""
        self._connection.transport.close()

    def reset(self) -> None:
        """Reset the connection; the client sees ECONNRESET."""
        transport = self._connection.transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


class Connection(asyncio.Protocol):
    """Reads requests from one connection and passes each to ``answer`` once the previous one is answered."""

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
        """Accept the connection."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 (what create_server makes)
        self.transport = transport
        self._on_open(self)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the current answer, since nobody reads it any more."""
        self.is_open = False
        self.writable.set()
        if self.task is not None:
            self.task.cancel()
        self._on_close(self)

    @override
    def pause_writing(self) -> None:
        """Record that the client reads too slowly."""
        self.writable.clear()

    @override
    def resume_writing(self) -> None:
        """Record that the client has caught up."""
        self.writable.set()

    @override
    def data_received(self, data: bytes) -> None:
        """Take bytes, and answer as soon as they form a complete request."""
        self._received += data
        self._next_request()

    def answered(self) -> None:
        """Record that the answer was sent, so that the next request can be handled."""
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
        # A body of unknown length cannot be distinguished from the next request.
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
    """Return the encoding of a chunk of a body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


def ndjson(record: dict[str, Any]) -> bytes:
    """Return a record as a line of NDJSON."""
    return json.dumps(record, ensure_ascii=False).encode(errors="replace") + b"\n"


def chat_line(content: str, *, model: str, created_at: str, done: bool = False, **message: Any) -> dict[str, Any]:
    """Return a line of a streamed answer, which contains a piece of its message."""
    said = {"role": "assistant", "content": content} | message
    return {"model": model, "created_at": created_at, "message": said, "done": done}


def split(text: str, pieces: int) -> list[str]:
    """Split a text into at most this many pieces of about the same size."""
    size = max(1, -(-len(text) // pieces))
    return [text[at : at + size] for at in range(0, len(text), size)]
