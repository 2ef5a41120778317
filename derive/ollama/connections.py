"""Kept HTTP/1.1 connections to one server: exact bytes out, the body as it comes in.

httptools reads what comes, asyncio carries it: a call costs a sixth of what it costs with httpcore under httpx, which
looks through all of its connections at each request. Errors are httpx's, which ``failures`` knows.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from typing import cast

import httpx
from httptools import HttpParserError, HttpResponseParser

MAX_HEAD_BYTES = 64 * 1024
"""Of a head, a trailer, or whatever else comes without a byte of a body."""
BUFFER_BYTES = 32 * 1024
"""Read at a time, into a buffer of the connection: asyncio would make 256 KiB for each read."""
PAUSE_BYTES = 64 * 1024
"""Of a body that nobody has read yet: the server waits from here on."""

_NOTHING_SENT = "the server closed the connection without an answer"
_CUT = "the server closed the connection in the middle of its answer"


class Connections:
    """Keeps connections; a request that meets one closed by the server, with no answer begun, gets a new one, once.

    A server, or a proxy before it, may close a connection in the moment in which the next request is on its way. Such a
    request was not worked on, as far as HTTP can tell. On a new connection the same means that the server failed.

    ``tls`` judges the server's certificate, ``headers`` go with every request. No redirects, no cookies, no proxies or
    passwords of the environment. Made and used in one event loop; as many connections as there are calls at a time.
    """

    def __init__(
        self,
        base_url: httpx.URL,
        *,
        tls: ssl.SSLContext | None,
        headers: Mapping[str, str],
        connect_seconds: float,
        keepalive_seconds: float,
    ) -> None:
        self.tls = tls
        self._host = base_url.raw_host.decode("ascii")
        self._port = base_url.port or (80 if tls is None else 443)
        self._prefix = base_url.raw_path.rstrip(b"/")
        lines = [("host", base_url.netloc.decode("ascii")), *headers.items()]
        self._headers = b"".join(f"{name}: {value}\r\n".encode("ascii") for name, value in lines)
        self._connect_seconds = connect_seconds
        self._keepalive_seconds = keepalive_seconds
        self._idle: deque[_Connection] = deque()

    async def send(self, method: str, path: str, body: bytes | None) -> "Response":
        """Send a request and return the response once its head is here; whoever takes it closes it.

        Raises httpx's ConnectError, ConnectTimeout, ReadError and RemoteProtocolError, and UnicodeError for a name of
        a host that cannot be.
        """
        head = b"%s %s%s HTTP/1.1\r\n%s" % (method.encode(), self._prefix, path.encode(), self._headers)
        length = b"" if body is None else b"content-length: %d\r\n" % len(body)
        request = b"%s%s\r\n%s" % (head, length, body or b"")
        kept = self._take_idle()
        if kept is not None:
            try:
                return await kept.ask(request)
            except httpx.TransportError:
                if kept.has_answered:
                    raise
        return await (await self._connect()).ask(request)

    async def aclose(self) -> None:
        """Close every connection that is kept."""
        while self._idle:
            self._idle.pop().close()

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_seconds):
                _, connection = await loop.create_connection(
                    lambda: _Connection(keep=self._keep, forget=self._forget), self._host, self._port, ssl=self.tls
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout(f"not within {self._connect_seconds:g} s") from error
        except OSError as error:
            raise httpx.ConnectError(str(error)) from error
        return connection

    def _take_idle(self) -> "_Connection | None":
        """Return the connection used last, having closed those that were idle for too long."""
        oldest = asyncio.get_running_loop().time() - self._keepalive_seconds
        while self._idle and self._idle[0].idle_since < oldest:
            self._idle.popleft().close()
        return self._idle.pop() if self._idle else None

    def _keep(self, connection: "_Connection") -> None:
        self._idle.append(connection)

    def _forget(self, connection: "_Connection") -> None:
        if connection in self._idle:
            self._idle.remove(connection)


class Response:
    """An answer whose head is here. ``aclose`` gives its connection back, or closes it in the middle of the body."""

    def __init__(self, connection: "_Connection", status_code: int, headers: Mapping[str, str]) -> None:
        self.status_code = status_code
        self.headers = headers
        """By name in lower case; of several the last."""
        self._connection = connection

    @property
    def has_ended(self) -> bool:
        """Whether all of the body has come, read or not."""
        return self._connection.is_done

    async def read_some(self) -> bytes:
        """Return what has come of the body since, waiting for at least one byte; b"" when the body has ended.

        Raises httpx's ReadError and RemoteProtocolError.
        """
        return await self._connection.read_some()

    def close(self) -> None:
        """Let go of the connection; may be repeated."""
        self._connection.let_go()


class _Connection(asyncio.BufferedProtocol):
    """One connection, which answers one request at a time."""

    def __init__(self, *, keep: Callable[["_Connection"], None], forget: Callable[["_Connection"], None]) -> None:
        self._keep = keep
        self._forget = forget
        self._loop = asyncio.get_running_loop()
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self.has_answered = False
        """Whether a byte has come since the last request was sent."""
        self.idle_since = 0.0
        self._begin()

    def _begin(self) -> None:
        self._parser = HttpResponseParser(self)
        self._status_code = 0
        self._headers: dict[str, str] = {}
        self._has_head = self.is_done = self._may_be_kept = self._is_asked = self.has_answered = self._is_paused = False
        self._body: list[bytes] = []
        self._unread_bytes = self._bare_bytes = 0

    async def ask(self, request: bytes) -> Response:
        """Send the request and return its response once the head is here."""
        self._begin()
        self._is_asked = True
        try:
            if self._transport is not None:
                self._transport.write(request)
            while not self._has_head:
                await self._wait()
        except BaseException:
            self.close()
            raise
        return Response(self, self._status_code, self._headers)

    async def read_some(self) -> bytes:
        while not self._body:
            if self.is_done:
                return b""
            await self._wait()
        data = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        self._unread_bytes = 0
        if self._is_paused and self._transport is not None:
            self._is_paused = False
            self._transport.resume_reading()
        return data

    def let_go(self) -> None:
        if not self._is_asked:
            return
        self._is_asked = False
        if self.is_done and self._may_be_kept and not self._is_paused and self._error is None:
            self.idle_since = self._loop.time()
            self._keep(self)
        else:
            self.close()

    def close(self) -> None:
        """Close at once; what was not sent yet is not."""
        if self._transport is not None:
            self._transport.abort()

    async def _wait(self) -> None:
        """Wait until something has come; raise what ended the connection."""
        if self._error is not None:
            raise self._error
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
        self._wake()

    # asyncio's protocol.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are no subclass of asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 (asyncio's)
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self._is_asked or self.is_done:
            # Nobody asked for it: the next request is not to be answered by it.
            self._may_be_kept = False
            self.close()
            return
        self.has_answered = True
        self._bare_bytes += nbytes
        try:
            self._parser.feed_data(self._buffer[:nbytes])
        except HttpParserError as error:
            self._fail(httpx.RemoteProtocolError(str(error) or type(error).__name__))
        if self._bare_bytes > MAX_HEAD_BYTES:
            self._fail(httpx.RemoteProtocolError(f"more than {MAX_HEAD_BYTES} bytes came without a body"))
        if self._error is not None:
            self.close()
        elif self._unread_bytes > PAUSE_BYTES and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget(self)
        if exc is not None:
            lost: Exception = httpx.ReadError(str(exc))
            lost.__cause__ = exc
        else:
            lost = httpx.RemoteProtocolError(_CUT if self.has_answered else _NOTHING_SENT)
            if self._has_head and not self._is_bounded:
                # A body without a length ends with its connection.
                self.is_done = True
        self._transport = None
        self._fail(lost)

    @property
    def _is_bounded(self) -> bool:
        return not self._headers.keys().isdisjoint(("content-length", "transfer-encoding"))

    # httptools' callbacks.

    def on_message_begin(self) -> None:
        if self.is_done:
            self._may_be_kept = False
        else:
            self._headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        # A 1xx tells of an answer to come.
        if self.is_done:
            return
        self._status_code = self._parser.get_status_code()
        self._has_head = self._status_code >= 200

    def on_body(self, body: bytes) -> None:
        if self.is_done:
            return
        self._body.append(body)
        self._unread_bytes += len(body)
        self._bare_bytes = 0

    def on_message_complete(self) -> None:
        if self._has_head and not self.is_done:
            # Asked now: once the message is over, the parser has forgotten how it was framed.
            self.is_done, self._may_be_kept = True, self._parser.should_keep_alive()
