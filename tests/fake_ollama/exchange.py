"""One request and the connection it is answered on, on asyncio's protocols: a framework costs the bench its CPU."""

import asyncio
import json
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

MAX_HEAD_BYTES = 64 * 1024
TLS_HANDSHAKE = b"\x16\x03"
NOT_HTTP = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"
)
"""What Go's server, and so Ollama, answers to a client that begins to speak TLS."""


@dataclass(frozen=True)
class RecordedRequest:
    """What came over the wire. Header names are lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @cached_property
    def json(self) -> Any:
        return json.loads(self.body)


class Exchange:
    """One request being answered."""

    def __init__(self, request: RecordedRequest, connection: "Connection") -> None:
        self.request = request
        self._connection = connection
        self.is_chunked = False

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
        self.is_chunked = length is None
        framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
        fields = {"Content-Type": "application/x-ndjson"} | (headers or {})
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self.write(f"HTTP/1.1 {status} Whatever\r\n{lines}{framing}\r\n\r\n".encode())

    def chunk(self, data: bytes) -> None:
        """Send a piece of the body."""
        self.write(b"%x\r\n%s\r\n" % (len(data), data) if self.is_chunked else data)

    def line(self, record: dict[str, Any]) -> None:
        """Send one line of NDJSON."""
        self.chunk(json.dumps(record, ensure_ascii=False).encode() + b"\n")

    def end(self) -> None:
        """Say that the body is whole."""
        if self.is_chunked:
            self.write(b"0\r\n\r\n")

    def whole(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send a whole answer at once."""
        self.head(status, {"Content-Type": "application/json"} | (headers or {}), length=len(body))
        self.write(body)

    def close(self) -> None:
        """Close the connection in good order, in the middle of whatever it was."""
        self._connection.transport.close()

    def reset(self) -> None:
        """Break the connection: the client sees ECONNRESET."""
        transport = self._connection.transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


Behaviour = Callable[[Exchange], Awaitable[None]]


class Gate:
    """What a behaviour waits for until the test, in another thread, opens it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_open = False
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    def open(self) -> None:
        with self._lock:
            self._is_open = True
            for loop, event in self._waiting:
                loop.call_soon_threadsafe(event.set)
            self._waiting.clear()

    async def wait(self) -> None:
        event = asyncio.Event()
        with self._lock:
            if self._is_open:
                return
            self._waiting.append((asyncio.get_running_loop(), event))
        await event.wait()


class Connection(asyncio.Protocol):
    """Reads requests off one connection and hands each to ``answer`` when the one before is answered."""

    transport: asyncio.Transport

    def __init__(
        self,
        answer: Callable[["Connection", RecordedRequest], None],
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
        self.timer: asyncio.TimerHandle | None = None
        self.is_answering = False
        self.is_open = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._on_open(self)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        self.writable.set()
        if self.task is not None:
            self.task.cancel()
        self._on_close(self)

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        self._received += data
        self._next_request()

    def answered(self) -> None:
        """Note that the answer is out: the next request may come."""
        self.is_answering = False
        if self.is_open and self._received:
            self._next_request()

    def _next_request(self) -> None:
        if self.is_answering:
            return
        if self._received.startswith(TLS_HANDSHAKE):
            self.transport.write(NOT_HTTP)
            self.transport.close()
            return
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            if len(self._received) > MAX_HEAD_BYTES:
                self.transport.abort()
            return
        first, *fields = self._received[:end].decode("latin-1").split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
        body_end = end + 4 + int(headers.get("content-length", "0"))
        if len(self._received) < body_end:
            return
        method, path, _ = first.split(" ", 2)
        request = RecordedRequest(method, path, headers, bytes(self._received[end + 4 : body_end]))
        del self._received[:body_end]
        self.is_answering = True
        self._answer(self, request)
