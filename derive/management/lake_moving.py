"""Runs ``manage.py move_lake`` with parsed options; exit codes as in the command."""

import json
from itertools import islice
from typing import Any

from django.conf import settings
from django.core.management.base import OutputWrapper
from django.db import connection

from derive.errors import ConfigurationError, HolocronError
from derive.lake import Lake
from derive.lake_copy import CopySummary, copy_lake, missing_at
from derive.lake_identity import check_lake_identity
from derive.management.copy_progress import copy_progress
from derive.plural import plural
from derive.sql.depths import read_workers_alive
from derive.sql.scripts import check_schema

MOVED, NOT_FINISHED, ERROR = 0, 1, 2
MAX_SHOWN = 20
MAX_THREADS = 64


class LakeMoving:
    """One call of the command."""

    def __init__(self, *, stdout: OutputWrapper, stderr: OutputWrapper) -> None:
        self.stdout = stdout
        self.stderr = stderr

    def run(self, given: dict[str, Any]) -> int:
        """Copy, hand over if everything is there and nobody writes; return the exit code."""
        try:
            if not 1 <= given["threads"] <= MAX_THREADS:
                raise ConfigurationError(f"--threads must be 1 to {MAX_THREADS}")
            check_schema(connection)
            source, target = Lake.open(settings.LAKE_URL), Lake.open(given["url"])
            check_lake_identity(source)
            source_id, target_id = source.read_identity(), _identity_at(target)
            if target_id is not None and target_id != source_id:
                raise ConfigurationError(f"{given['url']} is another lake ({target_id}): name an empty place")
            with copy_progress() as show:
                summary = copy_lake(source, target, on_progress=show, threads=given["threads"])
            left = self._what_is_left(source, target, summary)
            if not left and source_id is not None:
                target.write_identity(source_id)
        except KeyboardInterrupt:
            self.stderr.write("move_lake: stopped early; run it again to go on")
            return ERROR
        except HolocronError as error:
            self.stderr.write(f"move_lake: {error}")
            return ERROR
        self._say(summary, left, given)
        return NOT_FINISHED if left else MOVED

    def _what_is_left(self, source: Lake, target: Lake, summary: CopySummary) -> list[str]:
        """Return why the move is not finished, each in a line; empty if it is."""
        left = list(summary.faults)
        alive = read_workers_alive()
        workers = alive.alive + alive.stopping
        if workers:
            left.append(f"{plural(workers, 'worker')} may still write: stop them, and run this again to finish")
        elif not left:
            left += [
                f"{uri} is not at the target: run this again" for uri in islice(missing_at(source, target), MAX_SHOWN)
            ]
        return left

    def _say(self, summary: CopySummary, left: list[str], given: dict[str, Any]) -> None:
        if given["json"]:
            totals: dict[str, Any] = {"folders": summary.folders, "files": summary.files, "bytes": summary.bytes}
            totals |= {"already_there": summary.skipped, "moved": not left, "left": left}
            self.stdout.write(json.dumps(totals))
            return
        there = f", {plural(summary.skipped, 'file')} already there" if summary.skipped else ""
        self.stdout.write(f"copied {plural(summary.files, 'file')} ({summary.bytes:,} bytes){there}")
        for line in left[:MAX_SHOWN]:
            self.stdout.write(line)
        if len(left) > MAX_SHOWN:
            self.stdout.write(f"and {len(left) - MAX_SHOWN:,} more")
        if not left:
            self.stdout.write(f"The lake is at {given['url']}: set LAKE_URL to it, start again, and run verify_runs.")


def _identity_at(target: Lake) -> Any:
    """Return the id of the target, None for an empty one; creates its root."""
    target.probe()
    return target.read_identity()
