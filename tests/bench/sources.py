"""Rows a second from a SQL source with texts of 2 KB, read and hashed, and what a subject without its text takes."""

import hashlib
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.db import connection

from derive.sources.contract import Source, SourceSubject, SubjectEvidence
from derive.sources.registry import SourceRegistry

ROWS = 100_000
TEXT_BYTES = 2_048
ROWS_PER_SECOND = 20_000
MAX_PEAK_MB = 20
FEW = 5_000

FILL = """
CREATE SCHEMA IF NOT EXISTS bench_source;
DROP TABLE IF EXISTS bench_source.letter;
CREATE TABLE bench_source.letter (name varchar(40) PRIMARY KEY, body text NOT NULL, version bigint NOT NULL);
INSERT INTO bench_source.letter
SELECT 'letter-' || lpad(g::text, 9, '0'), left(repeat(md5(g::text), 64), {bytes}), g
FROM generate_series(1, {rows}) AS g;
"""
KEYS = """
[[source]]
name = "letters"
kind = "sql"
entity_type = "letter"
view = "bench_source.letter"
entity = "name"
text = "body"
change_token = "version"
"""


def measure() -> Iterator[dict[str, Any]]:
    """Yield the rates of both ways through a source, and the memory of the first at two sizes."""
    with connection.cursor() as cursor:
        cursor.execute(FILL.format(bytes=TEXT_BYTES, rows=ROWS))
        cursor.execute("VACUUM ANALYZE bench_source.letter")
    with TemporaryDirectory() as folder:
        file = Path(folder) / "sources.toml"
        file.write_text(KEYS, "utf-8")
        source = SourceRegistry.load(
            file, environment={}, lake_url="", read_database_url=settings.READ_DATABASE_URL
        ).get("letters")
        hashed, hashing = _timed(lambda: _hash_all(source))
        seen, looking = _timed(lambda: sum(isinstance(one, SourceSubject) for one in source.subjects()))
        assert (hashed, seen) == (ROWS, ROWS)
        peak_mb = _peak_mb(source)
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA bench_source CASCADE")
    yield {
        "name": f"sources, {ROWS} texts of {TEXT_BYTES} bytes read and hashed",
        "rows_per_second": round(ROWS / hashing),
        "peak_python_mb": peak_mb,
        "target": f">= {ROWS_PER_SECOND} rows/s in constant memory (<= {MAX_PEAK_MB} MB of Python's)",
        "met": ROWS / hashing >= ROWS_PER_SECOND and peak_mb <= MAX_PEAK_MB,
    }
    yield {
        "name": f"sources, {ROWS} subjects with change tokens",
        "rows_per_second": round(ROWS / looking),
        "seconds": round(looking, 2),
        "target": "<= 3 s",
        "met": looking <= 3,
    }


def _hash_all(source: Source, *, most: int = ROWS) -> int:
    count = 0
    for found in source.read_all():
        assert isinstance(found, SubjectEvidence)
        for item in found.items:
            hashlib.sha256((item.text or "").encode()).hexdigest()
        count += 1
        if count == most:
            break
    return count


def _timed(do: Any) -> tuple[int, float]:
    begun = time.perf_counter()
    return do(), time.perf_counter() - begun


def _peak_mb(source: Source) -> float:
    """Return the most memory that Python held while all rows were read; traced, so slower."""
    _hash_all(source, most=FEW)
    tracemalloc.start()
    _hash_all(source)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return round(peak / 1e6, 1)
