"""Tables of ``manage.py batches``; what the database holds is printed as text, never as markup."""

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from derive.visible_text import visible


def show_batches(documents: Sequence[dict[str, Any]]) -> None:
    """Print a line for each batch."""
    table = Table("batch", "state", "ended", "of", "failed", "time left", "tokens", "created by", "id", box=None)
    for one in documents:
        failed = one["jobs"].get("FAILED", 0) + one["jobs"].get("DEADLETTER", 0)
        table.add_row(
            *map(
                _plain,
                (
                    one["name"],
                    one["state"],
                    f"{one['ended']:,}",
                    f"{one['ended'] + one['left']:,}",
                    f"{failed:,}",
                    _duration(one["seconds_left"]) if one["left"] else "",
                    f"{one['spent']['tokens']:,}",
                    one["created_by"],
                    one["batch_id"],
                ),
            )
        )
    _console().print(table if documents else "no batches: queue jobs with enqueue_jobs --batch NAME")


def show_batch(document: dict[str, Any]) -> None:
    """Print all figures of one batch."""
    table = Table(show_header=False, box=None)
    jobs = ", ".join(f"{amount:,} {status}" for status, amount in document["jobs"].items()) or "none"
    failures = ", ".join(f"{amount:,} {kind}" for kind, amount in document["failures"].items())
    budget = document["budget"]
    rows = {
        "batch": f"{document['name']} ({document['batch_id']})",
        "state": document["state"],
        "paused": f"by {document['paused_by']}: {document['pause_reason'] or ''}" if document["paused_by"] else "",
        "progress": f"{document['percent']} %, {document['left']:,} left",
        "jobs": jobs,
        "failures": failures,
        "duplicates": f"{document['duplicate_jobs']:,}" if document["duplicate_jobs"] else "",
        "counted": document["counted_utc"] or "not yet",
        "time left": _duration(document["seconds_left"]) if document["left"] else "",
        "tokens": _cost(document["spent"]["tokens"], document["expected"]["tokens"], budget["tokens"]),
        "model seconds": _cost(
            document["spent"]["model_seconds"], document["expected"]["model_seconds"], budget["model_seconds"]
        ),
        "created": f"{document['created_utc']} by {document['created_by']}",
        "ended": document["finished_utc"] or "",
    }
    for name, value in rows.items():
        if value != "":
            table.add_row(name, _plain(value))
    _console().print(table)


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def _cost(spent: float, expected: dict[str, float | None] | None, budget: int | None) -> str:
    words = f"{spent:,.0f} so far"
    if expected is not None:
        words += f", {expected['expected']:,.0f} expected ({_bounds(expected)})"
    return words + (f", budget {budget:,}" if budget else "")


def _bounds(value: dict[str, float | None]) -> str:
    return (
        f"{value['low']:,.0f} to {value['high']:,.0f}" if value["high"] is not None else f"{value['low']:,.0f} or more"
    )


def _duration(seconds: dict[str, float | None] | None) -> str:
    if seconds is None:
        return "not known yet"
    high = "?" if seconds["high"] is None else _clock(seconds["high"])
    return f"{_clock(seconds['expected'] or 0)} ({_clock(seconds['low'] or 0)} to {high})"


def _clock(seconds: float) -> str:
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    if days >= 2:
        return f"{days:.1f} d"
    if hours >= 2:
        return f"{hours:.1f} h"
    return f"{minutes:.0f} min" if minutes >= 2 else f"{seconds:.0f} s"


def _plain(value: Any) -> Text:
    return Text(visible(str(value)))
