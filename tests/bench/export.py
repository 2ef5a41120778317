"""Rows a second of ``manage.py export_outputs`` over many runs, and its memory."""

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.db import connection

from tests.bench.enqueue import largest_child_mb
from tests.bench.world import ANSWER, ROOT, empty_queue, manage

RUNS = 200_000
MAX_MB = 200
ROWS_PER_SECOND = 20_000
SHA256 = "0" * 64

FILL = (
    """
    INSERT INTO llm.job (created_by, status, interrogation_key, entity_type, entity_id, input_json, finished_utc)
    SELECT 'bench', 'SUCCEEDED', 'sw_entity_facts_v1', 'character', 'tala-' || g, '{}', now()
    FROM generate_series(1, %(runs)s) AS g
    """,
    """
    INSERT INTO llm.run (
        job_id, attempt, started_utc, completed_utc, lease_until_utc, status, worker_id, model_name, model_tag,
        model_digest, options_json, prompt_tokens, output_tokens, total_ms, interrogation_version, definition_sha256,
        evidence_sha256, output_json
    )
    SELECT
        j.job_id, 1, now(), now(), now(), 'SUCCEEDED', 'bench', 'llama3.2', 'latest', %(sha256)s, '{"seed":0}', 900,
        120, 1500, '1.0.0', %(sha256)s, %(sha256)s, %(answer)s
    FROM llm.job AS j ORDER BY j.job_seq
    """,
    """
    INSERT INTO llm.artifact (run_id, artifact_type, media_type, content_sha256, byte_count, lake_uri)
    SELECT r.run_id, t, 'application/json', %(sha256)s, 100, 'llm_runs/2026/01/02/' || r.run_id || '/' || t
    FROM llm.run AS r CROSS JOIN unnest(ARRAY['prompt_text', 'parsed_output', 'manifest']) AS t
    """,
)


def measure() -> Iterator[dict[str, Any]]:
    """Yield the rate of the whole command for each form, start included, and its memory."""
    empty_queue()
    with connection.cursor() as cursor:
        for sql in FILL:
            cursor.execute(sql, {"runs": RUNS, "sha256": SHA256, "answer": ANSWER})
        for table in ("artifact", "run", "job"):
            cursor.execute(f"VACUUM ANALYZE llm.{table}")
    with tempfile.TemporaryDirectory(dir=ROOT / "var") as folder:
        for name, options in (("jsonl", []), ("csv", ["--facts"]), ("parquet", ["--facts"])):
            yield _measure(Path(folder) / f"out.{name}", options)


def _measure(out: Path, options: list[str]) -> dict[str, Any]:
    begun = time.perf_counter()
    told = json.loads(manage("export_outputs", str(out), *options, "--json", environment={}).stdout)
    rate = told["rows"] / (time.perf_counter() - begun)
    what = "facts" if options else "outputs"
    # The largest of all commands so far: the forms are measured from the leanest on.
    resident_mb = largest_child_mb()
    return {
        "name": f"export, {told['rows']} {what} as {out.suffix[1:]}",
        "rows_per_second": round(rate),
        "resident_mb": resident_mb,
        "target": f">= {ROWS_PER_SECOND} rows/s in <= {MAX_MB} MB",
        "met": rate >= ROWS_PER_SECOND and resident_mb <= MAX_MB,
    }
