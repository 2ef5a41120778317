"""What programs ask of the web server, on the engine that DATABASE_URL names."""

from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from pytest_django import Settings

from derive import web
from derive.health import KEPT_SECONDS, Part, Readiness
from derive.metrics import KEPT_SECONDS as SNAPSHOT_SECONDS
from derive.metrics import QueueNumbers
from derive.queue import JobQueue
from derive.sql import depths
from tests.contract.scenes import KEY, claimed, failure, queued


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch, settings: Settings, tmp_path: Path) -> None:
    monkeypatch.setattr(web, "_readiness", Readiness())
    monkeypatch.setattr(web, "_numbers", QueueNumbers())
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


def test_a_lake_that_cannot_be_written_is_told_without_its_path(
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

    def check() -> tuple[Part, ...]:
        looks.append(clock.seconds)
        return (Part("database", ok=True),)

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
    assert 'holocron_runs_last_hour{error_kind="model_crashed",status="FAILED"} 1.0' in text
    assert "holocron_workers_alive 0.0" in text
    assert 'holocron_jobs_capped{status="NEW"} 0.0' in text


def test_a_count_is_capped_and_says_so(queue: JobQueue, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depths, "DEPTH_CAP", 2)
    monkeypatch.setattr("derive.metrics.DEPTH_CAP", 2)
    for _ in range(3):
        queued(queue)

    text = client.get("/metrics").content.decode()

    assert f'holocron_jobs{{interrogation="{KEY}",status="NEW"}} 2.0' in text
    assert 'holocron_jobs_capped{status="NEW"} 1.0' in text


def test_a_snapshot_is_shown_again_and_tells_its_age(queue: JobQueue) -> None:
    clock = Clock()
    numbers = QueueNumbers(clock=clock)
    numbers.text()
    queued(queue)
    clock.seconds = SNAPSHOT_SECONDS - 1
    old = numbers.text().decode()
    assert f"holocron_snapshot_age_seconds {SNAPSHOT_SECONDS - 1}" in old
    assert "holocron_jobs{" not in old
    clock.seconds = SNAPSHOT_SECONDS
    assert 'status="NEW"} 1.0' in numbers.text().decode()
