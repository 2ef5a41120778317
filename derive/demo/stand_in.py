"""A stand-in model server: Ollama's protocol on a real socket, answers by rules, and it says so everywhere.

It serves ``/``, ``/api/version``, ``/api/tags``, ``/api/ps``, ``/api/show`` and ``/api/chat`` (streaming and not)
on the loopback interface, so that the demo runs where there is no Ollama. Its one model, its version, its license
and its ``Server`` header are called ``holocron-demo``: nobody shall mistake it for a model.

Source of the protocol: Ollama's ``docs/api.md``.
"""

from threading import Thread
from types import TracebackType
from typing import Self

from derive.demo.stand_in_handler import StandInHandler
from derive.demo.stand_in_server import StandInServer

DEFAULT_LATENCY_SECONDS = 0.15


class StandIn:
    """The server as a context manager: listening inside the ``with``, gone with all its threads after it.

    ``latency_seconds`` is how long an answer takes at least, spread over its chunks, so that progress can be
    watched. ``port`` 0 takes any free one.
    """

    def __init__(self, *, port: int = 0, latency_seconds: float = DEFAULT_LATENCY_SECONDS) -> None:
        self.latency_seconds = latency_seconds
        self._port = port
        self._server: StandInServer | None = None
        self._thread: Thread | None = None

    @property
    def base_url(self) -> str:
        """Where it listens, without a slash at the end; raises RuntimeError while it does not."""
        if self._server is None:
            raise RuntimeError("the stand-in is not started")
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def start(self) -> None:
        """Listen, and return when connections are taken. Raises OSError when the port is not free."""
        if self._server is not None:
            raise RuntimeError("the stand-in is started already")
        self._server = StandInServer(StandInHandler, port=self._port, latency_seconds=self.latency_seconds)
        self._thread = Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="holocron-demo", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Break off what is being answered and return when nothing listens or runs any more; may be repeated."""
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is not None and thread is not None:
            server.shutdown()
            thread.join()
            server.break_off()
            server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
