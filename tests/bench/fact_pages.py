"""The pages of facts over very many of them: the list under each filter, and what is known about one entity.

``BENCH_FACTS`` says how many rows there are, a million by default.
"""

import os
from collections.abc import Iterator
from typing import Any

from django.contrib.auth.models import User
from django.db import connection
from django.test import Client, override_settings

from derive.models import Fact
from tests.bench.admin import CountedRequest, cursor_of
from tests.bench.world import empty_queue

FACT_ROWS = int(os.environ.get("BENCH_FACTS", "1000000"))
FACTS_A_RUN, FACTS_AN_ENTITY = 10, 50
MAX_MS = 150
PAGES_DOWN, DEEP, ENTITIES = 3, 5, 100
LIST, ENTITY = "/admin/derive/fact/", "/admin/derive/fact/entity/"
POPULAR = "entity-popular"
"""An entity that a hundredth of all runs are about."""

# The checks of foreign keys are left out: they would take most of the time.
FILL = (
    "SET session_replication_role = replica",
    """
    INSERT INTO llm.run (
        job_id, attempt, started_utc, completed_utc, lease_until_utc, status, worker_id, model_name, model_tag,
        interrogation_version, evidence_sha256
    )
    SELECT gen_random_uuid(), 1, now(), now(), now(), 'SUCCEEDED', 'bench', 'llama3.2', 'latest', '1.0.0',
        lpad(to_hex(g), 64, '0')
    FROM generate_series(1, %(runs)s) AS g
    """,
    """
    INSERT INTO llm.fact (
        run_id, job_id, fact_index, path, interrogation_key, entity_type, entity_id, fact_key, value, value_key, quote,
        evidence_id, quote_start, quote_end, occurrences, confidence, proof, verdict, why, is_current, conflict_id,
        review_status
    )
    SELECT
        r.run_id, r.job_id, n, 'facts[' || n || ']', 'bench-' || r.run_seq %% 20, 'character',
        CASE WHEN r.run_seq %% 100 = 50 THEN %(popular)s ELSE 'entity-' || r.run_seq %% %(entities)s END,
        'key-' || n || '-' || r.run_seq %% 10, 'value ' || n, 'value ' || n,
        'the words that prove it, as long as they usually are: value ' || n, 'e1', 100, 160, 1, 90, 'words',
        v.verdict, 'The quote says value ' || n || '.', TRUE,
        CASE WHEN r.run_seq %% 100 = 0 AND n = 3 THEN md5('c' || r.run_seq %% %(entities)s)::uuid END,
        CASE WHEN v.verdict = 'SUPPORTED' THEN 'NONE' ELSE 'OPEN' END
    FROM llm.run AS r
    CROSS JOIN generate_series(0, %(facts)s - 1) AS n
    CROSS JOIN LATERAL (
        SELECT CASE (r.run_seq + n) %% 20 WHEN 0 THEN 'REFUTED' WHEN 1 THEN 'NOT_ENOUGH_INFO' ELSE 'SUPPORTED' END
    ) AS v (verdict)
    WHERE r.worker_id = 'bench'
    ORDER BY r.run_seq, n
    """,
    "SET session_replication_role = origin",
    "VACUUM ANALYZE llm.fact",
    "VACUUM ANALYZE llm.run",
)


def measure() -> Iterator[dict[str, Any]]:
    """Fill the table, then yield the list's figures and the entity pages'."""
    empty_queue()
    counts: dict[str, Any] = {
        "runs": FACT_ROWS // FACTS_A_RUN,
        "facts": FACTS_A_RUN,
        "entities": FACT_ROWS // FACTS_AN_ENTITY,
        "popular": POPULAR,
    }
    with connection.cursor() as cursor:
        for statement in FILL:
            cursor.execute(statement, counts if "%(" in statement else None)
    User.objects.filter(username="bench").delete()
    with override_settings(ALLOWED_HOSTS=["testserver"]):
        client = Client()
        client.force_login(User.objects.create_superuser("bench"), backend="django.contrib.auth.backends.ModelBackend")
        client.get(LIST)
        yield _lists(client)
        yield _entities(client)
    empty_queue()


def _filters() -> Iterator[dict[str, str]]:
    """Yield each filter alone, with values that are frequent, that are rare and that nothing has; and some together."""
    some = Fact.objects.order_by("fact_seq").values("run_id", "job_id", "fact_id")[FACT_ROWS // 2]
    alone = {
        "q": list(map(str, some.values())),
        "entity": ["entity-7", POPULAR, "no-such"],
        "key": ["key-3-7", "no-such"],
        "verdict": ["SUPPORTED", "REFUTED", "NOT_ENOUGH_INFO"],
        "review": ["NONE", "OPEN", "REJECTED"],
        "conflict": ["yes", "no"],
        "entity_type": ["character", "no-such"],
        "interrogation": ["bench-7", "no-such"],
        "version": ["1.0.0", "no-such"],
        "model": ["llama3.2", "no-such"],
        "current": ["yes", "no"],
    }
    yield {}
    yield from ({name: value} for name, values in alone.items() for value in values)
    yield {"verdict": "REFUTED", "interrogation": "bench-7"}
    yield {"key": "key-3-7", "review": "OPEN"}
    yield {"entity": POPULAR, "verdict": "REFUTED", "model": "no-such"}


def _lists(client: Client) -> dict[str, Any]:
    """Ask for the first pages of each filter, and for pages deep down."""
    asked = CountedRequest(client)
    first = Fact.objects.order_by("fact_seq").values_list("fact_seq", flat=True)[0]
    for filtered in _filters():
        cursor: str | None = ""
        for _ in range(PAGES_DOWN):
            answer = asked.get(LIST, {**filtered, **({"older": cursor} if cursor else {})})
            cursor = cursor_of(answer.content)
            if cursor is None:
                break
        for n in range(1, DEEP):
            asked.get(LIST, {**filtered, "older": str(first + FACT_ROWS * n // DEEP)})
    return asked.result(f"{FACT_ROWS:,} facts: the list", MAX_MS)


def _entities(client: Client) -> dict[str, Any]:
    """Ask for the pages of entities all over the table, and for those of one that very many runs are about."""
    asked = CountedRequest(client)
    for n in range(ENTITIES):
        entity = f"entity-{n * 97 % (FACT_ROWS // FACTS_AN_ENTITY)}"
        asked.get(ENTITY, {"entity": entity, "entity_type": "character"})
    for more in ({}, {"key": "key-3-0"}, {"superseded": "yes"}, {"older": str(FACT_ROWS // 2)}):
        asked.get(ENTITY, {"entity": POPULAR, **more})
    return asked.result(f"{FACT_ROWS:,} facts: an entity's page", MAX_MS)
