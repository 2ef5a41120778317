"""What an import shows on standard error while it runs, and how Ctrl-C stops it in good order."""

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
    """A bar for each of the two passes; on anything but a terminal only what is said."""

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
        """Begin the first pass over so many bytes, if that is known."""
        self._task = self._bars.add_task("checking (bytes)", total=size_bytes)

    def start_queueing(self, count: int) -> None:
        """Begin the second pass over so many jobs."""
        self.advance(0, now=True)
        self._task = self._bars.add_task("queueing (jobs)", total=count)

    def advance(self, amount: int, *, now: bool = False) -> None:
        """Tell of bytes read; shown from time to time."""
        self._unshown += amount
        if self._task is not None and (now or self._unshown > _SHOW_EVERY_BYTES):
            self._bars.advance(self._task, self._unshown)
            self._unshown = 0

    def reach(self, done: int) -> None:
        """Tell how many jobs are stored."""
        if self._task is not None:
            self._bars.update(self._task, completed=done)

    def say(self, words: str) -> None:
        """Print a line above the bars; nothing in it is taken for markup, nothing reaches the terminal unprinted."""
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
    """Makes the first Ctrl-C a question that is looked at between batches; the second one interrupts at once.

    While ``watch`` reads, the first one interrupts too: nothing is stored yet.
    """

    def __init__(self) -> None:
        self._asked = False
        self._watching = False
        self._before: Any = None

    def asked(self) -> bool:
        """Tell whether it is time to stop."""
        return self._asked

    def watch(self, items: Iterable[_T]) -> Iterator[_T]:
        """Yield the items, to be broken off by the first Ctrl-C."""
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
