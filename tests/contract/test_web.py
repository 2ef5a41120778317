"""What programs ask of the web server, on the engine that DATABASE_URL names."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from pytest_django import Settings

from derive import health, web
from derive.contracts import RunFacts, WorkerFacts
from derive.health import KEPT_SECONDS, Readiness, ReadinessCheck
from derive.metrics.queue_metrics import KEPT_SECONDS as SNAPSHOT_SECONDS
from derive.metrics.queue_metrics import QueueMetrics
from derive.queue import JobQueue
from derive.sql import depths, totals
from derive.sql.tables import engine_of
from derive.states import JobStatus
from tests.contract.scenes import KEY, claimed, failure, queued, success


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> None:
    monkeypatch.setattr(web, "_readiness", Readiness())
    monkeypatch.setattr(web, "_numbers", QueueMetrics())
    settings.LAKE_URL = str(tmp_path / "lake")


def test_the_process_says_that_it_lives_without_a_database(client: Client) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok")


def test_a_migrated_database_and_a_lake_are_ready(queue: JobQueue, client: Client) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 200
    assert {name: part["ok"] for name, part in answer.json()["parts"].items()} == {
        "database": True,
        "scripts": True,
        "lake": True,
    }


def test_a_database_whose_readers_wait_for_writers_is_ready_and_says_so(
    queue: JobQueue, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(health._READERS_WAIT_SQL, engine_of(connection), "SELECT 1")
    part = health.check_database()
    assert (part.ok, part.reason) == (True, health.READERS_WAIT)


def test_scripts_that_are_not_this_trees_are_named(queue: JobQueue, client: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO llm.schema_script (script_name, sha256) VALUES ('procedures/usp_x.sql', %s)", ["0" * 64]
        )
    try:
        answer = client.get("/readyz")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DELETE FROM llm.schema_script WHERE script_name = 'procedures/usp_x.sql'")
    assert answer.status_code == 503
    assert "usp_x.sql" in answer.json()["parts"]["scripts"]["reason"]


def test_a_lake_that_cannot_be_written_is_reported_without_its_path(
    queue: JobQueue, client: Client, settings: Settings, tmp_path: Path
) -> None:
    in_the_way = tmp_path / "secret_name"
    in_the_way.write_bytes(b"a file, no folder")
    settings.LAKE_URL = str(in_the_way)

    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["parts"]["database"]["ok"]
    assert not answer.json()["parts"]["lake"]["ok"]
    assert b"secret_name" not in answer.content


def test_an_answer_is_kept_two_seconds() -> None:
    clock, looks = Clock(), []

    def check() -> tuple[ReadinessCheck, ...]:
        looks.append(clock.seconds)
        return (ReadinessCheck("database", ok=True),)

    readiness = Readiness(check, clock=clock)
    for clock.seconds in (0.0, KEPT_SECONDS - 0.1, KEPT_SECONDS):
        readiness.parts()
    assert looks == [0.0, KEPT_SECONDS]


def test_the_numbers_tell_depths_workers_and_ends(queue: JobQueue, client: Client) -> None:
    queue.complete(failure(claimed(queue)))
    queued(queue)
    queued(queue)

    text = client.get("/metrics").content.decode()

    assert f'holocron_jobs{{interrogation="{KEY}",status="NEW"}} 2.0' in text
    assert f'holocron_jobs{{interrogation="{KEY}",status="FAILED"}} 1.0' in text
    assert f'holocron_oldest_job_seconds{{interrogation="{KEY}",status="NEW"}}' in text
    assert "holocron_workers_alive 0.0" in text
    assert 'holocron_jobs_capped{status="NEW"} 0.0' in text


def test_a_count_is_capped_and_says_so(queue: JobQueue, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depths, "LIVE_CAP", 2)
    for _ in range(3):
        queued(queue)

    text = client.get("/metrics").content.decode()

    assert f'holocron_jobs{{interrogation="{KEY}",status="NEW"}} 2.0' in text
    assert 'holocron_jobs_capped{status="NEW"} 1.0' in text


def test_a_snapshot_is_shown_again_and_tells_its_age(queue: JobQueue) -> None:
    clock = Clock()
    numbers = QueueMetrics(clock=clock)
    numbers.text()
    queued(queue)
    clock.seconds = SNAPSHOT_SECONDS - 1
    old = numbers.text().decode()
    assert f"holocron_snapshot_age_seconds {SNAPSHOT_SECONDS - 1}" in old
    assert "holocron_jobs{" not in old
    clock.seconds = SNAPSHOT_SECONDS
    assert 'status="NEW"} 1.0' in numbers.text().decode()


def numbers_of(client: Client) -> dict[str, float]:
    text = client.get("/metrics").content.decode()
    return {name: float(value) for name, value in re.findall(r"^(holocron\S+) (\S+)$", text, re.MULTILINE)}


def test_counters_and_times_tell_all_that_ever_happened(
    queue: JobQueue, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunFacts(
        model_name="llama3.2",
        prompt_tokens=900,
        output_tokens=120,
        total_ms=7_000,
        metrics_json='{"total_duration":1500000000}',
    )
    queue.complete(success(claimed(queue), run=run))
    queue.complete(failure(claimed(queue), run=run, retry_after_seconds=0))
    queue.roll_up_hours()

    told = numbers_of(client)

    def event(name: str, kind: str = "") -> float:
        return told[f'holocron_events_total{{error_kind="{kind}",event="{name}",interrogation="{KEY}"}}']

    assert (event("enqueued"), event("claimed"), event("succeeded")) == (2, 2, 1)
    assert event("retried", "model_crashed") == 1
    labels = f'interrogation="{KEY}",model="llama3.2"'
    assert told[f'holocron_tokens_total{{{labels},type="prompt"}}'] == 1_800
    assert told[f'holocron_tokens_total{{{labels},type="output"}}'] == 240
    assert told[f'holocron_model_seconds_bucket{{interrogation="{KEY}",le="1.0"}}'] == 0
    assert told[f'holocron_model_seconds_bucket{{interrogation="{KEY}",le="2.0"}}'] == 2
    assert told[f'holocron_model_seconds_bucket{{interrogation="{KEY}",le="+Inf"}}'] == 2
    for measure in ("wait", "run", "model"):
        assert told[f'holocron_{measure}_seconds_count{{interrogation="{KEY}"}}'] == 2
    assert 0 <= told["holocron_counted_seconds_ago"] < 60


def test_no_counter_goes_down_when_the_jobs_are_purged(
    queue: JobQueue, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.complete(success(claimed(queue)))
    queue.roll_up_hours()
    before = {name: value for name, value in numbers_of(client).items() if "_total{" in name or "_count{" in name}
    queue.purge(finished_before_utc=datetime.now(UTC) + timedelta(hours=1), statuses=[JobStatus.SUCCEEDED], actor="ada")
    monkeypatch.setattr(web, "_numbers", QueueMetrics())
    after = numbers_of(client)
    assert before
    assert {name: after[name] for name in before} == before


def test_the_hours_of_the_past_are_summed_up_once(queue: JobQueue) -> None:
    """Hours long gone count as much as the last one, and what is added to the last one is seen at once."""
    queue.complete(success(claimed(queue)))
    queue.roll_up_hours()
    move = "hour_utc - interval '40 days'" if connection.vendor == "postgresql" else "DATEADD(day, -40, hour_utc)"
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE llm.stat_hour SET hour_utc = {move}")
    reader = totals.TotalsReader()
    assert reader.read().events[KEY, "", "succeeded"] == 1
    queue.complete(success(claimed(queue)))
    queue.roll_up_hours()
    assert reader.read().events[KEY, "", "succeeded"] == 2


def test_workers_and_the_scheduler_are_reported(queue: JobQueue, client: Client) -> None:
    for name, stopping in (("one", False), ("two", True)):
        facts = WorkerFacts(
            host="h", pid=1, version="0", started_utc=datetime.now(UTC), concurrency=4, stopping=stopping
        )
        queue.heartbeat(name, [], facts=facts)
    told = numbers_of(client)
    assert (told["holocron_workers_alive"], told["holocron_workers_stopping"]) == (1, 1)
    assert (told["holocron_workers_slots"], told["holocron_workers_active_runs"]) == (4, 0)
    assert told["holocron_scheduler_lag_seconds"] >= 0
