"""The progress of a copy of the lake, on a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from derive.lake_copy import CopySummary
from derive.plural import plural


@contextmanager
def copy_progress() -> Iterator[Callable[[CopySummary], None]]:
    """Yield a function that shows a summary on standard error; without a terminal it does nothing."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("")
        yield lambda summary: progress.update(
            task,
            description=f"{summary.folders:,} folders, {summary.files:,} files copied, {summary.bytes / 1e6:,.0f} MB, "
            f"{summary.skipped:,} already there, {plural(len(summary.faults), 'fault')}",
        )
