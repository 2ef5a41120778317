"""The stand-in's listening socket, and what the handlers of its connections share."""

import socket
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock
from typing import Any

from derive.demo.stand_in_model import LoadedModels


class StandInServer(ThreadingHTTPServer):
    """One listening socket with a thread a connection; ``server_close`` waits for all of them."""

    daemon_threads = False
    request_queue_size = 256
    """As many workers' slots may connect at the same moment."""

    def __init__(self, handler: type[BaseHTTPRequestHandler], *, port: int, latency_seconds: float) -> None:
        self.latency_seconds = latency_seconds
        self.stopping = Event()
        self.loaded = LoadedModels()
        self._open: set[socket.socket] = set()
        self._open_lock = Lock()
        super().__init__(("127.0.0.1", port), handler)

    def server_bind(self) -> None:
        """Bind without asking the resolver for this machine's name, which can take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = "127.0.0.1", self.socket.getsockname()[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Note the connection, so that it can be broken off, and give it a thread."""
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection and close it."""
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Pass over a client that went away; anything else is a fault of ours and is shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def break_off(self) -> None:
        """Wake every connection's thread and let it end."""
        self.stopping.set()
        with self._open_lock:
            for connection in self._open:
                with suppress(OSError):  # the other side may have closed it this moment
                    connection.shutdown(socket.SHUT_RDWR)
