"""A server of Ollama's protocol on the loopback interface: a thread with an event loop, and Ollama's routes.

Subclasses define the answers: the demo's stand-in, and the tests' server, which fails in every requested way.
Source of the protocol: Ollama's ``docs/api.md``.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from threading import Thread
from types import TracebackType
from typing import Any, Self

from derive.demo.ollama_wire import BadRequest, Connection, Exchange, ReceivedRequest

BACKLOG = 1024
"""Number of slots that may connect at the same moment."""
THREAD_SECONDS = 60
"""How long to wait for the server's thread: with three chaos runs in parallel, one took more than ten seconds."""


class OllamaServer:
    """Listens inside the ``with`` block, or between ``start`` and ``stop``. ``port`` 0 uses any free one."""

    server_name = ""
    """The ``Server`` header; empty: none."""
    version: str
    liveness_text: str

    def __init__(self, *, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.port = port
        self._tls = tls
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None

    @property
    def base_url(self) -> str:
        """The server's URL without a trailing slash; raises RuntimeError before it has a port."""
        if not self.port:
            raise RuntimeError("the server is not started")
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start listening, and return once connections are accepted. Raises OSError if the port is not free."""
        if self._thread is not None:
            raise RuntimeError("the server is started already")
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name=type(self).__name__, daemon=True)
        self._thread.start()
        try:
            self.in_loop(self.listen)
        except OSError:
            self.stop()
            raise

    def stop(self) -> None:
        """Abort current answers, and return once nothing listens or runs any more; may be repeated."""
        if self._thread is None or self._loop is None:
            return
        self.in_loop(self.stop_listening)
        self.in_loop(_stop_tasks)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._thread = self._loop = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def in_loop(self, call: Callable[[], Awaitable[None]]) -> None:
        """Run a coroutine function in the server's thread and wait for it."""

        async def run() -> None:
            await call()

        assert self._loop is not None  # noqa: S101 (only between start and stop)
        asyncio.run_coroutine_threadsafe(run(), self._loop).result(timeout=THREAD_SECONDS)

    async def listen(self) -> None:
        """Listen in the running loop."""
        self._server = await asyncio.get_running_loop().create_server(
            lambda: Connection(self.received, self.opened, self.closed),
            "127.0.0.1",
            self.port,
            backlog=BACKLOG,
            ssl=self._tls,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def serve_forever(self) -> None:
        """Serve in the running loop until cancelled, for a process of its own."""
        assert self._server is not None  # noqa: S101 (after listen)
        await self._server.serve_forever()

    async def stop_listening(self) -> None:
        """Refuse new connections, and abort open ones."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.transport.abort()
        while self._connections:
            await asyncio.sleep(0)

    def opened(self, connection: Connection) -> None:
        """Record a connection."""
        self._connections.add(connection)

    def closed(self, connection: Connection) -> None:
        """Forget a connection."""
        self._connections.discard(connection)

    def received(self, connection: Connection, request: ReceivedRequest) -> None:
        """Start answering a request."""
        connection.task = asyncio.get_running_loop().create_task(self._answer(connection, request))

    async def _answer(self, connection: Connection, request: ReceivedRequest) -> None:
        exchange = Exchange(request, connection, server_name=self.server_name)
        try:
            await self.answer(exchange)
        except BadRequest as error:
            exchange.error(400, str(error))
        except Exception:
            exchange.reset()  # makes a bug in the server visible at once instead of a client that waits
            raise
        connection.answered()

    async def answer(self, exchange: Exchange) -> None:
        """Answer a request by its route."""
        request = exchange.request
        method, path = request.method.replace("HEAD", "GET"), request.path.partition("?")[0]
        match method, path:
            case "GET", "/":
                exchange.whole(200, self.liveness_text.encode(), {"Content-Type": "text/plain; charset=utf-8"})
            case "GET", "/api/version":
                exchange.json({"version": self.version})
            case "GET", "/api/tags":
                exchange.json({"models": self.tags()})
            case "GET", "/api/ps":
                exchange.json({"models": self.loaded()})
            case "POST", "/api/show" | "/api/chat":
                await self._about_a_model(exchange, path)
            case _:
                exchange.error(404, "404 page not found")

    async def _about_a_model(self, exchange: Exchange, path: str) -> None:
        body = _read_object(exchange.request)
        name = body.get("model") or body.get("name")
        if not isinstance(name, str) or not name:
            raise BadRequest("model is required")
        show = self.show(name)
        if show is None:
            exchange.error(404, f"model {name!r} not found")
        elif path == "/api/show":
            exchange.json(show)
        else:
            await self.chat(exchange, show)

    def tags(self) -> list[dict[str, Any]]:
        """Return the installed models, as ``/api/tags`` lists them."""
        raise NotImplementedError

    def loaded(self) -> list[dict[str, Any]]:
        """Return the models that are loaded, as ``/api/ps`` lists them."""
        raise NotImplementedError

    def show(self, name: str) -> dict[str, Any] | None:
        """Return the answer of ``/api/show`` for a model; None if there is none of that name."""
        raise NotImplementedError

    async def chat(self, exchange: Exchange, show: dict[str, Any]) -> None:
        """Answer ``/api/chat`` for the model with this ``/api/show``; raise BadRequest."""
        raise NotImplementedError


def _read_object(request: ReceivedRequest) -> dict[str, Any]:
    try:
        body = request.json
    except (ValueError, RecursionError) as error:
        raise BadRequest("the request is not JSON") from error
    if not isinstance(body, dict):
        raise BadRequest("the request must be a JSON object")
    return body


async def _stop_tasks() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
