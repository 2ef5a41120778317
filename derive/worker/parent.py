"""A worker's link to the parent process that started it: reports the start, sends metrics, stops when it is gone.

A socket pair. The worker sends one frame when it has started, and its metrics for each byte it receives. The parent's
end closes the stream.
"""

import asyncio
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

LENGTH_BYTES = 4
SEND_SECONDS = 1.0
STARTED = b""
"""The frame that says the worker is ready to claim."""


def frame(payload: bytes) -> bytes:
    """Encode a payload as a frame."""
    return len(payload).to_bytes(LENGTH_BYTES) + payload


class ParentLink:
    """The worker's side; without a descriptor there is no parent, and it does nothing."""

    def __init__(self, descriptor: int | None) -> None:
        self._socket = None if descriptor is None else socket.socket(fileno=descriptor)

    @contextmanager
    def kept(self, *, numbers: Callable[[], bytes], on_gone: Callable[[], None]) -> Iterator[None]:
        """Serve the parent in the running loop during the block; ``on_gone`` is called once if it is gone."""
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
        """Report that this worker has started."""
        self._send(STARTED)

    def _send(self, payload: bytes) -> None:
        if self._socket is None:
            return
        # Do not wait for a parent that does not read or is gone.
        self._socket.settimeout(SEND_SECONDS)
        with suppress(OSError):
            self._socket.sendall(frame(payload))
        self._socket.settimeout(0.0)
