"""Jobs as tables for people. Database values are shown as plain text, without markup or control codes."""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from derive.inspection import JobHistory, Row, StateCount, age_in_words
from derive.states import name_of_event

_COLOURS = {
    "NEW": "cyan",
    "SCHEDULED": "blue",
    "RUNNING": "yellow",
    "SPLIT": "yellow",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "DEADLETTER": "magenta",
    "CANCELLED": "dim",
}
_WIDTH_OF_A_PIPE = 200
"""Width when the output is not a terminal: ids are not wrapped."""
_MAX_SHOWN = 400
"""Characters shown per value; ``--json`` has all of it."""
_LIMITS = ("max_running", "max_starts_per_minute", "num_ctx", "num_predict")
_JOB_FIRST = ("job_id", "status", "interrogation_key", "entity_type", "entity_id", "priority")


def show_jobs(jobs: Sequence[Row]) -> None:
    """Print a list of jobs."""
    table = _table("job", "state", "prio", "interrogation", "entity", "tries", "age", "error")
    for job in jobs:
        table.add_row(
            _plain(job["job_id"]),
            _state(job["status"]),
            _plain(job["priority"]),
            _plain(job["interrogation_key"]),
            _plain("/".join(part for part in (job["entity_type"], job["entity_id"]) if part)),
            _plain(f"{job['attempt_count']}/{job['max_attempts']}"),
            _plain(age_in_words(job["created_utc"])),
            _plain(f"{job['error_kind']}: {job['last_error'] or ''}" if job["error_kind"] else ""),
        )
    _console().print(table if jobs else "no jobs")


def show_models(rows: Sequence[Row]) -> None:
    """Print the models that jobs wait for, with their limits and pauses."""
    table = _table("model", "ready", "scheduled", "running", "load", "limits", "paused")
    for row in rows:
        limits = [f"{name} {row[name]}" for name in _LIMITS if row[name] is not None]
        paused = ""
        if row["paused_utc"] is not None:
            paused = f"by {row['paused_by']}, {age_in_words(row['paused_utc'])} ago: {row['pause_reason'] or ''}"
        table.add_row(
            _plain(row["model"] or "(worker's own)"),
            *(_plain(row[state]) for state in ("new", "scheduled", "running")),
            _plain("" if row["load_ms"] is None else f"{row['load_ms'] / 1000:.1f} s"),
            _plain(", ".join(limits)),
            _plain(paused),
        )
    _console().print(table if rows else "no models: no jobs wait, and no limits are set")


def show_story(story: JobHistory) -> None:
    """Print one job's full history."""
    console = _console()
    facts = Table(show_header=False, box=None)
    names = [*_JOB_FIRST, *(name for name in story.job if name not in _JOB_FIRST)]
    for name in names:
        if story.job[name] is not None:
            facts.add_row(name, _state(story.job[name]) if name == "status" else _plain(story.job[name]))
    console.print(facts)
    parts = _table("state", "parts")
    for part in story.parts:
        parts.add_row(_state(part["status"]), _plain(part["jobs"]))
    if story.parts:
        _section(console, "parts", parts)
    runs = _table("attempt", "run", "state", "counted", "started", "ms", "model", "tokens in/out", "worker", "error")
    for run in story.runs:
        runs.add_row(
            _plain(run["attempt"]),
            _plain(run["run_id"]),
            _state(run["status"]),
            "yes" if run["counted"] else "no",
            _plain(run["started_utc"]),
            _plain(run["total_ms"]),
            _plain(run["model_name"]),
            _plain(f"{run['prompt_tokens'] or 0}/{run['output_tokens'] or 0}"),
            _plain(run["worker_id"]),
            _plain(f"{run['error_kind']}: {run['error'] or ''}" if run["error_kind"] else ""),
        )
    _section(console, "runs", runs)
    events = _table("at", "event", "from", "to", "actor", "reason", "details")
    for event in story.events:
        events.add_row(
            _plain(event["at_utc"]),
            _plain(name_of_event(event["event"], event["to_status"])),
            *(_plain(event[name]) for name in ("from_status", "to_status", "actor", "reason")),
            _plain(event["detail_json"]),
        )
    _section(console, "events", events)
    artifacts = _table("artifact", "bytes", "sha256", "in the lake")
    for artifact in story.artifacts:
        artifacts.add_row(
            *(_plain(artifact[name]) for name in ("artifact_type", "byte_count", "content_sha256", "lake_uri"))
        )
    _section(console, "artifacts", artifacts)


def show_counts(counts: Sequence[StateCount]) -> None:
    """Print how many jobs are in each state."""
    table = _table("state", "jobs")
    for count in counts:
        table.add_row(_state(count.status.value), _plain(f"{count.count}{' or more' if count.capped else ''}"))
    _console().print(table)


def _console() -> Console:
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE)


def _section(console: Console, name: str, table: Table) -> None:
    console.print(f"\n[bold]{name}[/bold]" if table.row_count else f"\nno {name}")
    if table.row_count:
        console.print(table)


def _table(*headings: str) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading in {"job", "run", "state", "tries", "age", "prio"})
    return table


def _state(status: str) -> Text:
    return Text(status, style=_COLOURS.get(status, ""))


def _plain(value: Any) -> Text:
    if value is None:
        return Text("")
    text = f"{value:%Y-%m-%d %H:%M:%S}Z" if isinstance(value, datetime) else str(value)
    shown = "".join(sign if sign.isprintable() else " " for sign in text[: _MAX_SHOWN + 1])
    return Text(shown if len(shown) <= _MAX_SHOWN else f"{shown[:_MAX_SHOWN]}…")
