"""The fake: scripted answers, a record of what was asked, and a fast path beside which others are measured."""

import asyncio
import ssl
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from typing_extensions import override

from derive.demo.ollama_server import OllamaServer
from derive.demo.ollama_wire import LAST_CHUNK, Connection, Exchange, ReceivedRequest, chunk, ndjson, split
from tests.fake_ollama import behaviours
from tests.fake_ollama.answers import DIGEST, METRICS, MODEL, SHOW, VERSION
from tests.fake_ollama.behaviours import Behaviour
from tests.fake_ollama.openai_wire import CHAT_PATH, MODELS_PATH, error_of, listing, sse

DEADLINE_SECONDS = 10
CHAT_PATHS = ("/api/chat", CHAT_PATH)


class FakeOllama(OllamaServer):
    """A server on 127.0.0.1 that records what it is asked, in Ollama's protocol and the OpenAI-compatible one.

    With ``latency_ms`` every unscripted question is answered that much later out of bytes made beforehand,
    ``slots`` at a time, the others waiting: cheap enough to stand beside what is measured. With ``load_ms`` it has one
    model in memory then, and takes that long to load another: after the answers under way, before all that wait.
    """

    version = VERSION
    liveness_text = "Ollama is running"

    def __init__(
        self,
        *,
        port: int = 0,
        models: dict[str, str] | None = None,
        latency_ms: float | None = None,
        load_ms: float = 0,
        slots: int = 16,
        content: str = '{"facts": []}',
        pieces: int = 4,
        records: bool = True,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(port=port, tls=tls)
        self.models = {MODEL: DIGEST} if models is None else models
        self.shows: dict[str, dict[str, Any]] = {}
        """By a model's full name: what ``/api/show`` says of it beside, or instead of, what it says of any."""
        self.requests: list[ReceivedRequest] = []
        self.open_connections = 0
        self.connections_made = 0
        self._records = records
        self._latency_seconds = None if latency_ms is None else latency_ms / 1000
        self._free_slots = slots
        self._load_seconds = load_ms / 1000
        self._in_memory: str | None = None
        self._is_loading = False
        self._waiting: deque[tuple[Connection, str, bytes]] = deque()
        self._timers: dict[Connection, asyncio.TimerHandle] = {}
        model = next(iter(self.models), MODEL)
        self._prepared = {
            "/api/chat": prepare(content, model=model, pieces=pieces),
            CHAT_PATH: prepare(content, model=model, pieces=pieces, wire=sse),
        }
        self._next: deque[Behaviour] = deque()
        self._always: dict[str, Behaviour] = {}
        self._num_ctx = 4096
        self._changed = threading.Condition()

    @property
    def url(self) -> str:
        return self.base_url

    @property
    def chats(self) -> list[ReceivedRequest]:
        """The questions, in order, in whichever protocol they came."""
        return [request for request in self.requests if request.path in CHAT_PATHS]

    def count(self, path: str) -> int:
        return sum(request.path == path for request in self.requests)

    def next(self, *scripted: Behaviour) -> None:
        """Script the next questions, one each."""
        self._next.extend(scripted)

    def always(self, behaviour: Behaviour | None, *, path: str | None = None) -> None:
        """Answer every call of the path (None: every question) so, but for those scripted; None: properly again."""
        for one in CHAT_PATHS if path is None else (path,):
            if behaviour is None:
                self._always.pop(one, None)
            else:
                self._always[one] = behaviour

    def wait_until(self, holds: Callable[[], bool], *, seconds: float = DEADLINE_SECONDS) -> None:
        """Return as soon as the condition on this server's state holds; raise TimeoutError after the deadline."""
        with self._changed:
            if not self._changed.wait_for(holds, timeout=seconds):
                raise TimeoutError(
                    f"{self.open_connections} open connections, asked: {[request.path for request in self.requests]}"
                )

    def go_away(self) -> None:
        """Refuse connections, and break those that are open, until ``come_back``."""
        self.in_loop(self.stop_listening)

    def come_back(self) -> None:
        """Listen on the same port again."""
        self.in_loop(self.listen)

    @override
    def opened(self, connection: Connection) -> None:
        super().opened(connection)
        with self._changed:
            self.open_connections += 1
            self.connections_made += 1
            self._changed.notify_all()

    @override
    def closed(self, connection: Connection) -> None:
        super().closed(connection)
        if timer := self._timers.pop(connection, None):
            timer.cancel()
            self._free_slot()
        with self._changed:
            self.open_connections -= 1
            self._changed.notify_all()

    @override
    def received(self, connection: Connection, request: ReceivedRequest) -> None:
        if self._records:
            with self._changed:
                self.requests.append(request)
                self._changed.notify_all()
        if self._latency_seconds is not None and request.path in CHAT_PATHS and not (self._next or self._always):
            model = request.json["model"] if self._load_seconds else ""
            self._waiting.append((connection, model, self._prepared[request.path]))
            self._fill_slots()
            return
        super().received(connection, request)

    def _fill_slots(self) -> None:
        assert self._latency_seconds is not None
        while self._free_slots and self._waiting and not self._is_loading:
            connection, model, answer = self._waiting[0]
            if connection.is_open and self._load_seconds and model != self._in_memory:
                if not self._timers:
                    self._is_loading = True
                    asyncio.get_running_loop().call_later(self._load_seconds, self._have_loaded, model)
                return
            self._waiting.popleft()
            if connection.is_open:
                self._free_slots -= 1
                loop = asyncio.get_running_loop()
                self._timers[connection] = loop.call_later(
                    self._latency_seconds, self._send_prepared, connection, answer
                )

    def _have_loaded(self, model: str) -> None:
        self._in_memory, self._is_loading = model, False
        self._fill_slots()

    def _send_prepared(self, connection: Connection, answer: bytes) -> None:
        del self._timers[connection]
        connection.transport.write(answer)
        self._free_slot()
        connection.answered()

    def _free_slot(self) -> None:
        self._free_slots += 1
        self._fill_slots()

    @override
    async def answer(self, exchange: Exchange) -> None:
        path = exchange.request.path
        if path in CHAT_PATHS and self._next:
            await self._next.popleft()(exchange)
        elif path in self._always:
            await self._always[path](exchange)
        elif path == MODELS_PATH:
            exchange.json(listing(list(self.models)))
        elif path == CHAT_PATH:
            await self._chat_by_openai(exchange)
        else:
            await super().answer(exchange)

    async def _chat_by_openai(self, exchange: Exchange) -> None:
        request = exchange.request.json
        if self.show(request.get("model", "")) is None:
            exchange.json({"error": error_of(f"The model `{request.get('model')}` does not exist.")}, status=404)
        elif "messages" not in request:
            exchange.json({"error": error_of("messages is required")}, status=400)
        else:
            await behaviours.answer()(exchange)

    @override
    def tags(self) -> list[dict[str, Any]]:
        return [{"name": name, "model": name, "digest": digest, "size": 1} for name, digest in self.models.items()]

    @override
    def loaded(self) -> list[dict[str, Any]]:
        return [entry | {"size_vram": 1000, "context_length": self._num_ctx} for entry in self.tags()]

    @override
    def show(self, name: str) -> dict[str, Any] | None:
        if not {name, f"{name}:latest"} & self.models.keys():
            return None
        return SHOW | (self.shows.get(name) or self.shows.get(f"{name}:latest") or {})

    @override
    async def chat(self, exchange: Exchange, show: dict[str, Any]) -> None:
        self._num_ctx = exchange.request.json.get("options", {}).get("num_ctx", self._num_ctx)
        await behaviours.by_what_it_is(show)(exchange)


def prepare(content: str, *, model: str, pieces: int, wire: Callable[[dict[str, Any]], bytes] = ndjson) -> bytes:
    """Return a whole streamed answer, HTTP and all."""
    sent = [behaviours.piece_line(piece, model=model) for piece in split(content, pieces)]
    sent.append(behaviours.final_line(model=model) | METRICS)
    body = b"".join(chunk(wire(line)) for line in sent) + LAST_CHUNK
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n" + body
