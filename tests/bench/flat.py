"""Buffers read by a claim: a short queue against a million ready jobs and a million more that are not yet due."""

import json
from typing import Any

from django.db import connection

from tests.bench.world import empty_queue

SHORT = 10_000
LONG = 1_000_000
CLAIMS = 50
MAX_RATIO = 1.3

FILL = """
INSERT INTO llm.job (created_by, status, priority, interrogation_key, input_json, available_utc)
SELECT 'bench', %s, %s, 'bench', '{}', now() + %s * interval '1 day' - g * interval '1 millisecond'
FROM generate_series(1, %s) AS g
"""


def measure() -> dict[str, Any]:
    """Return the mean buffers of a claim in both queues, and their ratio."""
    empty_queue()
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE llm.job")
        cursor.execute(FILL, ["NEW", 100, 0, SHORT])
        cursor.execute("VACUUM ANALYZE llm.job")
        short = _buffers_a_claim(cursor)
        cursor.execute(FILL, ["NEW", 100, 0, LONG])
        cursor.execute(FILL, ["SCHEDULED", 500, 30, LONG])
        cursor.execute("VACUUM ANALYZE llm.job")
        long = _buffers_a_claim(cursor)
    return {
        "name": "flat, 1,000,000 ready and 1,000,000 not due against 10,000 ready",
        "buffers_short": round(short, 1),
        "buffers_long": round(long, 1),
        "ratio": round(long / short, 3),
        "target": f"<= {MAX_RATIO}",
        "met": long / short <= MAX_RATIO,
    }


def _buffers_a_claim(cursor: Any) -> float:
    total = 0
    for n in range(CLAIMS + 1):
        cursor.execute("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT * FROM llm.usp_claim_next_job('bench')")
        found = cursor.fetchone()[0]
        plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
        # The first call of a connection reads the catalogue too.
        if n:
            total += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
    return total / CLAIMS
