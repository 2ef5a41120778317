"""The fake's server: a thread with an event loop of its own, or the only thing in a process."""

import asyncio
import json
import ssl
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from tests.fake_ollama import behaviours
from tests.fake_ollama.answers import DIGEST, METRICS, MODEL, SHOW, VERSION
from tests.fake_ollama.exchange import Behaviour, Connection, Exchange, RecordedRequest

DEADLINE_SECONDS = 10
LOOP_SECONDS = 60
"""What its own loop may be late: three chaos runs beside each other kept one for more than ten."""


class FakeOllama:
    """A server on 127.0.0.1 that records what it is asked.

    With ``latency_ms`` every unscripted ``/api/chat`` is answered that much later out of bytes made beforehand,
    ``slots`` at a time, the others waiting: cheap enough to stand beside what is measured.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        models: dict[str, str] | None = None,
        latency_ms: float | None = None,
        slots: int = 16,
        content: str = '{"facts": []}',
        pieces: int = 4,
        records: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.port = port
        self.models = {MODEL: DIGEST} if models is None else models
        self.shows: dict[str, dict[str, Any]] = {}
        """By a model's full name: what ``/api/show`` says of it beside, or instead of, what it says of any."""
        self.requests: list[RecordedRequest] = []
        self.open_connections = 0
        self.connections_made = 0
        self._records = records
        self._tls = tls
        self._latency_seconds = None if latency_ms is None else latency_ms / 1000
        self._free_slots = slots
        self._waiting: deque[Connection] = deque()
        self._prepared = prepare(content, model=next(iter(self.models), MODEL), pieces=pieces)
        self._next: deque[Behaviour] = deque()
        self._always: dict[str, Behaviour] = {}
        self._num_ctx = 4096
        self._changed = threading.Condition()
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def chats(self) -> list[RecordedRequest]:
        """The requests of ``/api/chat``, in order."""
        return [request for request in self.requests if request.path == "/api/chat"]

    def count(self, path: str) -> int:
        return sum(request.path == path for request in self.requests)

    def next(self, *scripted: Behaviour) -> None:
        """Script the next calls of ``/api/chat``, one each."""
        self._next.extend(scripted)

    def always(self, behaviour: Behaviour | None, *, path: str = "/api/chat") -> None:
        """Answer every call of the path so, but for those scripted; None: properly again."""
        if behaviour is None:
            self._always.pop(path, None)
        else:
            self._always[path] = behaviour

    def wait_until(self, holds: Callable[[], bool], *, seconds: float = DEADLINE_SECONDS) -> None:
        """Return as soon as the condition on this server's state holds; raise TimeoutError after the deadline."""
        with self._changed:
            if not self._changed.wait_for(holds, timeout=seconds):
                raise TimeoutError(
                    f"{self.open_connections} open connections, asked: {[request.path for request in self.requests]}"
                )

    def go_away(self) -> None:
        """Refuse connections, and break those that are open, until ``come_back``."""
        self._in_loop(self._stop_listening)

    def come_back(self) -> None:
        """Listen on the same port again."""
        self._in_loop(self._listen)

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-ollama", daemon=True)
        self._thread.start()
        self._in_loop(self._listen)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._in_loop(self._stop_listening)
        self._in_loop(self._stop_tasks)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def serve_forever(self) -> None:
        """Serve in the running loop, for a process of its own; the port is known by ``on_listen``."""
        self._loop = asyncio.get_running_loop()
        await self._listen()
        print(self.port, flush=True)  # noqa: T201 - who started the process reads it
        assert self._server is not None
        await self._server.serve_forever()

    def _in_loop(self, call: Callable[[], Any]) -> None:
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(call(), self._loop).result(timeout=LOOP_SECONDS)

    async def _listen(self) -> None:
        assert self._loop is not None
        self._server = await self._loop.create_server(
            lambda: Connection(self._answer, self._opened, self._closed),
            "127.0.0.1",
            self.port,
            backlog=1024,
            ssl=self._tls,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.transport.abort()
        while self._connections:
            await asyncio.sleep(0)

    async def _stop_tasks(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _opened(self, connection: Connection) -> None:
        self._connections.add(connection)
        with self._changed:
            self.open_connections += 1
            self.connections_made += 1
            self._changed.notify_all()

    def _closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if connection.timer is not None:
            connection.timer.cancel()
            connection.timer = None
            self._free_slot()
        with self._changed:
            self.open_connections -= 1
            self._changed.notify_all()

    def _answer(self, connection: Connection, request: RecordedRequest) -> None:
        assert self._loop is not None
        if self._records:
            with self._changed:
                self.requests.append(request)
                self._changed.notify_all()
        if self._latency_seconds is not None and request.path == "/api/chat" and not (self._next or self._always):
            self._waiting.append(connection)
            self._fill_slots()
            return
        connection.task = self._loop.create_task(self._behave(connection, request))

    async def _behave(self, connection: Connection, request: RecordedRequest) -> None:
        exchange = Exchange(request, connection)
        try:
            await self._behaviour_for(request)(exchange)
        except Exception:
            exchange.reset()  # a mistake in a script shows at once, not as a client that waits
            raise
        connection.task = None
        connection.answered()

    def _fill_slots(self) -> None:
        assert self._loop is not None
        assert self._latency_seconds is not None
        while self._free_slots and self._waiting:
            connection = self._waiting.popleft()
            if connection.is_open:
                self._free_slots -= 1
                connection.timer = self._loop.call_later(self._latency_seconds, self._send_prepared, connection)

    def _send_prepared(self, connection: Connection) -> None:
        connection.timer = None
        connection.transport.write(self._prepared)
        self._free_slot()
        connection.answered()

    def _free_slot(self) -> None:
        self._free_slots += 1
        self._fill_slots()

    def _behaviour_for(self, request: RecordedRequest) -> Behaviour:
        if request.path == "/api/chat" and self._next:
            return self._next.popleft()
        if request.path in self._always:
            return self._always[request.path]
        return self._proper(request)

    def _proper(self, request: RecordedRequest) -> Behaviour:
        listed = [{"name": name, "model": name, "digest": digest, "size": 1} for name, digest in self.models.items()]
        loaded = {"size_vram": 1000, "context_length": self._num_ctx}
        listings: dict[str, dict[str, Any]] = {
            "/api/version": {"version": VERSION},
            "/api/tags": {"models": listed},
            "/api/ps": {"models": [entry | loaded for entry in listed]},
        }
        if request.path in listings:
            return _json(listings[request.path])
        if request.path not in ("/api/show", "/api/chat"):
            return behaviours.status(404, body=b"404 page not found")
        model = request.json.get("model", "")
        if not {model, f"{model}:latest"} & self.models.keys():
            return behaviours.model_not_found(model)
        show = SHOW | (self.shows.get(model) or self.shows.get(f"{model}:latest") or {})
        if request.path == "/api/show":
            return _json(show)
        self._num_ctx = request.json.get("options", {}).get("num_ctx", self._num_ctx)
        return behaviours.by_what_it_is(show)


def prepare(content: str, *, model: str, pieces: int) -> bytes:
    """Return a whole streamed answer, HTTP and all."""
    sent = [behaviours.piece_line(piece, model=model) for piece in behaviours.split(content, pieces)]
    sent.append(behaviours.final_line(model=model) | METRICS)
    body = b"".join(_chunk(json.dumps(line).encode() + b"\n") for line in sent) + b"0\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n" + body


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _json(value: Any) -> Behaviour:
    return behaviours.status(200, body=json.dumps(value).encode())
