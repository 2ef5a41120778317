"""The process that started this worker, seen from the worker: told of the start, asked for numbers, missed when gone.

One pair of sockets. The worker sends a frame when it has started, and one for each byte it receives: its numbers. The
end of the parent is the end of the stream.
"""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

LENGTH_BYTES = 4
SEND_SECONDS = 1.0
STARTED = b""
"""The frame that says that the worker may claim."""


def frame(payload: bytes) -> bytes:
    """Return the bytes that carry a payload."""
    return len(payload).to_bytes(LENGTH_BYTES) + payload


class ParentLink:
    """The worker's end; without a descriptor there is no parent, and nothing happens."""

    def __init__(self, descriptor: int | None) -> None:
        self._socket = None if descriptor is None else socket.socket(fileno=descriptor)

    @contextmanager
    def kept(self, *, numbers: Callable[[], bytes], on_gone: Callable[[], None]) -> Iterator[None]:
        """Answer the parent in the running loop while the block runs; ``on_gone`` is called once when it has gone."""
        if self._socket is None:
            yield
            return
        loop, link = asyncio.get_running_loop(), self._socket
        link.settimeout(0.0)

        def hear() -> None:
            try:
                asked = link.recv(64)
            except BlockingIOError:
                return
            except ConnectionError:
                asked = b""
            if not asked:
                loop.remove_reader(link)
                on_gone()
                return
            for _ in asked:
                self._send(numbers())

        loop.add_reader(link, hear)
        try:
            yield
        finally:
            loop.remove_reader(link)

    def report_started(self) -> None:
        """Tell the parent that this worker has begun."""
        self._send(STARTED)

    def _send(self, payload: bytes) -> None:
        if self._socket is None:
            return
        # A parent that does not read, or is gone, is no reason to wait longer.
        self._socket.settimeout(SEND_SECONDS)
        with suppress(OSError):
            self._socket.sendall(frame(payload))
        self._socket.settimeout(0.0)
