"""Progress of an import on standard error, and its graceful stop on Ctrl-C."""

import signal
from collections.abc import Iterable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

_T = TypeVar("_T")
_SHOW_EVERY_BYTES = 256 * 1024


class ImportProgress:
    """A bar for each of the two passes; without a terminal only messages are printed."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._unshown = 0

    def start_checking(self, size_bytes: int | None) -> None:
        """Start the first pass over this many bytes, if known."""
        self._task = self._bars.add_task("checking (bytes)", total=size_bytes)

    def start_queueing(self, count: int) -> None:
        """Start the second pass over this many jobs."""
        self.advance(0, now=True)
        self._task = self._bars.add_task("queueing (jobs)", total=count)

    def advance(self, amount: int, *, now: bool = False) -> None:
        """Add bytes read; the display is updated now and then."""
        self._unshown += amount
        if self._task is not None and (now or self._unshown > _SHOW_EVERY_BYTES):
            self._bars.advance(self._task, self._unshown)
            self._unshown = 0

    def reach(self, done: int) -> None:
        """Show the number of stored jobs."""
        if self._task is not None:
            self._bars.update(self._task, completed=done)

    def say(self, words: str) -> None:
        """Print a line above the bars, without interpreting markup or control characters."""
        plain = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in words)
        self._console.print(Text(plain))

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bars.stop()


class InterruptGuard:
    """Turns the first Ctrl-C into a flag checked between batches; the second interrupts at once.

    During ``watch`` the first one interrupts too, since nothing is stored yet.
    """

    def __init__(self) -> None:
        self._asked = False
        self._watching = False
        self._before: Any = None

    def asked(self) -> bool:
        """Whether to stop."""
        return self._asked

    def watch(self, items: Iterable[_T]) -> Iterator[_T]:
        """Yield the items; the first Ctrl-C interrupts."""
        self._watching = True
        try:
            yield from items
        finally:
            self._watching = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked or self._watching:
            signal.default_int_handler(number, frame)
        self._asked = True

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        signal.signal(signal.SIGINT, self._before)
