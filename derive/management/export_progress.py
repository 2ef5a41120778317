"""Progress of an export on standard error."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from derive.export.progress import ExportCheckpoint


class ExportProgress:
    """A bar over the run numbers, with the rows so far; without a terminal only messages are printed."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("exporting"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rows]} rows"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None, rows="0")

    def show(self, exported: ExportCheckpoint) -> None:
        """Move the bar."""
        total = exported.through - exported.after
        done = exported.position - exported.after
        self._bar.update(self._task, total=total, completed=done, rows=f"{exported.row_count:,}")

    def say(self, words: str) -> None:
        """Print a line above the bar, without interpreting markup or control characters."""
        plain = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in words)
        self._console.print(Text(plain))

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()
