"""What an idle scheduler costs: processor time of the real ``manage.py qcluster``, and the statements it sends."""

import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from tests.bench.world import ROOT

MAX_CORE_PERCENT = 1.0
MAX_STATEMENTS_PER_SECOND = 5.0
SETTLE_SECONDS = 35
"""Its start, and the first look at what is due."""
MEASURE_SECONDS = 120
"""Whole rounds of the tasks of the minute."""
STOP_SECONDS = 60

_STATEMENT = re.compile(rb"LOG:  (statement|execute [^:]*):")


def measure() -> dict[str, Any]:
    """Run a scheduler with nothing to do; every statement is counted in the server's log."""
    from django.conf import settings
    from django.db import connection

    log = Path(settings.DATABASES["default"]["EMBEDDED_FOLDER"]) / "server.log"
    name = connection.ops.quote_name(str(settings.DATABASES["default"]["NAME"]))
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER DATABASE {name} SET log_statement = 'all'")
    process = subprocess.Popen(
        [sys.executable, "manage.py", "qcluster"], cwd=ROOT, env=os.environ, stdout=subprocess.DEVNULL
    )
    try:
        time.sleep(SETTLE_SECONDS)
        seconds, statements, begun = _processor_seconds(process.pid), _statements(log), time.monotonic()
        time.sleep(MEASURE_SECONDS)
        passed = time.monotonic() - begun
        seconds, statements = _processor_seconds(process.pid) - seconds, _statements(log) - statements
        megabytes = sum(one.memory_full_info().uss for one in _processes(process.pid)) / 1e6
    finally:
        process.terminate()
        process.wait(STOP_SECONDS)
        with connection.cursor() as cursor:
            cursor.execute(f"ALTER DATABASE {name} RESET log_statement")
    core_percent, per_second = 100 * seconds / passed, statements / passed
    return {
        "name": "an idle scheduler",
        "core_percent": round(core_percent, 2),
        "statements_per_second": round(per_second, 2),
        "megabytes": round(megabytes),
        "seconds": round(passed),
        "target": f"<= {MAX_CORE_PERCENT} %, <= {MAX_STATEMENTS_PER_SECOND}/s",
        "met": core_percent <= MAX_CORE_PERCENT and per_second <= MAX_STATEMENTS_PER_SECOND,
    }


def _processes(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def _processor_seconds(pid: int) -> float:
    times = [one.cpu_times() for one in _processes(pid)]
    return sum(one.user + one.system for one in times)


def _statements(log: Path) -> int:
    return len(_STATEMENT.findall(log.read_bytes()))
