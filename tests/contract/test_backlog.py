"""``llm.v_backlog``: what waits for each model, as autoscalers ask it."""

import re
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from django.db import connection

from derive.queue import JobQueue
from holocron.settings import BASE_DIR
from tests.contract.scenes import ACTOR, a_job, claim_one, queued


def backlog(where: str = "1 = 1") -> dict[str, tuple[int, int, int]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT model, claimable, running, oldest_seconds FROM llm.v_backlog WHERE {where}")
        return {model: (claimable, running, oldest) for model, claimable, running, oldest in cursor.fetchall()}


def grow_old(seconds: int) -> None:
    now = "clock_timestamp()" if connection.vendor == "postgresql" else "SYSUTCDATETIME()"
    ago = (
        f"{now} - interval '{seconds} seconds'"
        if connection.vendor == "postgresql"
        else f"DATEADD(SECOND, -{seconds}, {now})"
    )
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE llm.job SET available_utc = {ago} WHERE status = 'NEW'")


def test_each_model_has_its_ready_and_running_jobs_and_the_age_of_the_oldest(queue: JobQueue) -> None:
    queue.enqueue_many([a_job(model_hint="small") for _ in range(3)], actor=ACTOR)
    queued(queue, model_hint="large")
    queued(queue)
    queued(queue, model_hint="small", available_utc=datetime.now(UTC) + timedelta(days=1))
    claim_one(queue, model="large")
    grow_old(90)
    found = backlog()
    assert {model: row[:2] for model, row in found.items()} == {"small": (3, 0), "large": (0, 1), "": (1, 0)}
    assert 90 <= found["small"][2] < 90 + 60
    assert 90 <= found[""][2] < 90 + 60
    assert found["large"][2] == 0
    assert backlog("model = 'large'") == {"large": (0, 1, 0)}
    assert backlog("model = 'nobody asks for it'") == {}


def test_the_autoscalers_query_gives_one_number_whatever_waits(queue: JobQueue) -> None:
    overlay = "postgresql" if connection.vendor == "postgresql" else "sqlserver"
    lane = BASE_DIR / "deploy" / "kubernetes" / "overlays" / overlay / "lanes" / "llama"
    (patch,) = yaml.safe_load((lane / "triggers.yaml").read_text("utf-8"))
    query = patch["value"][0]["metadata"]["query"]

    def asked() -> list[tuple[int, ...]]:
        with connection.cursor() as cursor:
            cursor.execute(query)
            return [tuple(map(int, row)) for row in cursor.fetchall()]

    assert asked() == [(0,)]
    for model in ("llama3.2", "llama3.2", None, "another"):
        queued(queue, model_hint=model)
    claim_one(queue)
    assert asked() == [(3,)]


def test_what_a_paused_model_or_batch_holds_back_is_not_claimable(queue: JobQueue) -> None:
    queued(queue, model_hint="small")
    queued(queue, model_hint="large")
    queue.pause_model("small", actor=ACTOR, reason="maintenance")
    assert {model: row[0] for model, row in backlog().items()} == {"small": 0, "large": 1, "": 0}
    with connection.cursor() as cursor:
        cursor.execute("UPDATE llm.job SET paused_utc = available_utc WHERE model_hint = 'large'")
    assert "large" not in backlog()


def test_a_lane_reads_its_own_part_of_the_index(empty_queue: None) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("plans are read on PostgreSQL")
    JobQueue().enqueue_many([a_job(model_hint=f"model-{n % 50}") for n in range(2_000)], actor=ACTOR)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE) llm.job")
        cursor.execute("EXPLAIN SELECT claimable FROM llm.v_backlog WHERE model = 'model-7'")
        plan = "\n".join(row[0] for row in cursor.fetchall())
    # One of the indexes that begin with the model.
    assert re.search(r"Index Cond: .*model_hint\)?(::text)? = 'model-7'", plan), plan
