"""Each way of looking at facts reads one index in its order, however many facts there are."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection, transaction
from django.http import QueryDict
from django.test.utils import CaptureQueriesContext
from pytest_django.plugin import DjangoDbBlocker

from derive.admin.facts.filters import FactFilter
from derive.models import Fact
from derive.sql.tables import Engine, engine_of

ROWS, PAGE = 20_000, 51

# Foreign keys are not checked meanwhile: the plans ask for facts alone.
FILL = """
    INSERT INTO llm.fact (
        run_id, job_id, fact_index, path, interrogation_key, entity_type, entity_id, fact_key, value, occurrences,
        proof, verdict, is_current, conflict_id, review_status
    )
    SELECT
        md5('r' || g / 10)::uuid, md5('j' || g / 10)::uuid, g % 10, 'facts[' || g % 10 || ']', 'question-' || g % 50,
        'character', 'entity-' || g / 40, 'key-' || g % 200, 'v', 1, 'words', v.verdict, TRUE,
        CASE WHEN g % 500 = 0 THEN md5('c' || g / 1000)::uuid END,
        CASE WHEN v.verdict = 'SUPPORTED' THEN 'NONE' ELSE 'OPEN' END
    FROM generate_series(1, 20000) AS g
    CROSS JOIN LATERAL (
        SELECT CASE g % 100 WHEN 0 THEN 'REFUTED' WHEN 1 THEN 'NOT_ENOUGH_INFO' ELSE 'SUPPORTED' END
    ) AS v (verdict)
"""
ID = "SELECT {}::text FROM llm.fact WHERE fact_index = 7 ORDER BY fact_seq LIMIT 1"

LISTS: list[tuple[str, dict[str, Any]]] = [
    ("ux_fact_seq", {}),
    ("ux_fact_seq", {"verdict": "SUPPORTED"}),
    ("ix_fact_review", {"review_status": "OPEN"}),
    ("ix_fact_key", {"fact_key": "key-7"}),
    ("ix_fact_interrogation", {"interrogation_key": "question-7"}),
    ("ix_fact_entity", {"entity_id": "entity-7", "entity_type": "character"}),
]


@pytest.fixture(scope="module")
def filled(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """Twenty thousand facts, made once, in a transaction that is rolled back after this module's last test."""
    if engine_of(connection) is not Engine.POSTGRESQL:
        pytest.skip("another engine tells its plans in another way")
    with django_db_blocker.unblock(), transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(FILL)
            cursor.execute("SET LOCAL session_replication_role = origin")
            cursor.execute("ANALYZE llm.fact")
        yield
        transaction.set_rollback(True)


@pytest.fixture
def many_facts(filled: None, db: None) -> None:
    """The facts, in a savepoint of the test's own."""


def plan_of(facts: Any) -> str:
    return str(facts.explain())


@pytest.mark.parametrize(("index", "chosen"), LISTS, ids=lambda value: value if isinstance(value, str) else "")
@pytest.mark.parametrize("order", ["fact_seq", "-fact_seq"])
def test_a_page_of_a_list_is_read_in_the_order_of_its_index(
    many_facts: None, index: str, chosen: dict[str, Any], order: str
) -> None:
    page = Fact.objects.filter(fact_seq__gt=100, **chosen).order_by(order)[:PAGE]
    plan = plan_of(page)
    assert index in plan
    assert "Seq Scan" not in plan
    assert "Sort" not in plan


OF_ONE: list[tuple[str, str, Callable[[str], dict[str, Any]]]] = [
    ("ux_fact_run", "run_id", lambda value: {"run_id": value}),
    ("pk_fact", "fact_id", lambda value: {"fact_id": value}),
    ("ix_fact_conflict", "md5('c7')::uuid", lambda value: {"conflict_id": value}),
]


@pytest.mark.parametrize(("index", "column", "chosen"), OF_ONE, ids=[index for index, _, _ in OF_ONE])
def test_the_facts_of_one_are_found_by_their_index(
    many_facts: None, index: str, column: str, chosen: Callable[[str], dict[str, Any]]
) -> None:
    with connection.cursor() as cursor:
        cursor.execute(ID.format(column))
        (value,) = cursor.fetchone()
    plan = plan_of(Fact.objects.filter(**chosen(value)))
    assert index in plan
    assert "Seq Scan" not in plan


def test_the_conflicts_are_listed_by_their_own_index(many_facts: None) -> None:
    plan = plan_of(Fact.objects.filter(conflict_id__isnull=False).order_by("-fact_seq")[:PAGE])
    assert "Seq Scan" not in plan


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("verdict=REFUTED", "ix_fact_review"),
        ("review=OPEN", "ix_fact_review"),
        ("conflict=yes", "ix_fact_in_conflict"),
        ("q=7b0f8f0c-6a0e-4a55-9d6f-3f3c1d1f0a55", "ux_fact_run"),
    ],
)
def test_a_filter_that_few_facts_pass_reads_no_others(many_facts: None, query: str, index: str) -> None:
    with CaptureQueriesContext(connection) as asked:
        FactFilter(QueryDict(query)).walk().page()
    plans = []
    with connection.cursor() as cursor:
        for one in asked.captured_queries:
            cursor.execute(f"EXPLAIN {one['sql']}")
            plans.append("\n".join(line for (line,) in cursor.fetchall()))
    assert index in plans[0]
    assert not any("Seq Scan on fact" in plan for plan in plans)
