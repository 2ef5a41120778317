"""The signals that stop a worker gracefully."""

import signal
import sys
from asyncio import AbstractEventLoop
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def stopping_signals() -> list[int]:
    """Return SIGTERM, SIGINT and, unless ``nohup`` ignores it, SIGHUP, which a closing terminal sends."""
    hang_up = getattr(signal, "SIGHUP", None)
    is_heard = hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN
    return [signal.SIGTERM, signal.SIGINT, *([hang_up] if is_heard and hang_up is not None else [])]


@contextmanager
def handling_signals(loop: AbstractEventLoop, stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` in the loop at each stop signal during the block."""
    numbers = stopping_signals()
    if sys.platform == "win32":
        # This event loop has no signal handlers; a plain one runs between bytecodes of the main thread.
        before = {number: signal.getsignal(number) for number in numbers}
        for number in numbers:
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stop))
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return
    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)
