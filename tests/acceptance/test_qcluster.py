"""The real scheduler, twice, as processes: what is due happens, and happens once."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from derive.schedules.system_tasks import SYSTEM_TASKS
from holocron.settings import BASE_DIR
from tests.acceptance.worker_processes import DEADLINE_SECONDS, SECRET_KEY, ProcessWorld, wait_until
from tests.faults.worker_world import KEY, input_json
from tests.own_postgres import PASSWORD


class Schedulers:
    """Processes of ``manage.py qcluster``, and what they say."""

    def __init__(self, world: ProcessWorld) -> None:
        self._world = world
        self._started: list[tuple[subprocess.Popen[bytes], Path]] = []

    def start(self) -> None:
        log = self._world.folder / f"qcluster-{len(self._started)}.log"
        with log.open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "manage.py", "qcluster"],
                cwd=BASE_DIR,
                env=self._world.environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                # Its own processes can then be ended with it, whatever state it is in.
                start_new_session=True,
            )
        self._started.append((process, log))

    def said(self) -> str:
        return "".join(log.read_text() for _process, log in self._started)

    def stop(self) -> list[int]:
        for process, _log in self._started:
            process.send_signal(signal.SIGTERM)
        return [process.wait(DEADLINE_SECONDS) for process, _log in self._started]

    def end(self) -> None:
        for process, _log in self._started:
            if process.poll() is None:
                process.kill()
                process.wait(DEADLINE_SECONDS)


@pytest.fixture
def schedulers(world: ProcessWorld) -> Iterator[Schedulers]:
    schedulers = Schedulers(world)
    yield schedulers
    schedulers.end()
    for table in (
        "retrypolicy",
        "escalationpolicy",
        "recurringinterrogation",
        "retentionpolicy",
        "taskstate",
        "schedulerun",
        "schedulerprocess",
    ):
        world.sql(f"DELETE FROM derive_{table}")
    world.sql("DELETE FROM django_q_ormq")


def failed_job(world: ProcessWorld) -> object:
    job_id = world.enqueue()
    (claim,) = world.sql("SELECT * FROM llm.usp_claim_next_job(worker_id => 'w')")
    world.sql(
        "SELECT * FROM llm.usp_complete_job(job_id => %s, run_id => %s, status => 'FAILED', error => 'no model', "
        "error_kind => 'model_not_found')",
        *(job_id, claim["run_id"]),
    )
    return job_id


def plan(world: ProcessWorld, table: str, **values: object) -> None:
    given = {"enabled": True, "cron": "0 2 * * *", "changed_by": "ada", **values}
    columns, marks = ", ".join(given), ", ".join("%s" for _value in given)
    world.sql(
        f"INSERT INTO derive_{table} ({columns}, next_utc, changed_utc) "
        f"VALUES ({marks}, now() - interval '1 day', now())",
        *given.values(),
    )


def checked(world: ProcessWorld, **environment: str) -> tuple[int, str]:
    """Ask, as a container's health check does; return the exit code and what was said."""
    said = subprocess.run(
        [sys.executable, "manage.py", "check_scheduler"],
        cwd=BASE_DIR,
        env=world.environment | environment,
        check=False,
        capture_output=True,
        text=True,
    )
    return said.returncode, said.stdout + said.stderr


def test_a_host_whose_scheduler_never_reported_is_unhealthy(world: ProcessWorld) -> None:
    world.sql(
        "INSERT INTO derive_schedulerprocess (cluster_id, host, pid, seen_utc, skew_seconds) "
        "VALUES ('another', 'another-host', 1, now(), 0)"
    )
    code, told = checked(world)
    world.sql("DELETE FROM derive_schedulerprocess")
    assert (code, "no scheduler on" in told) == (1, True)


def test_an_unavailable_database_ends_the_check_of_the_scheduler_with_2(world: ProcessWorld) -> None:
    code, told = checked(world, DATABASE_URL=f"postgresql://u:{PASSWORD}@127.0.0.1:1/none")
    assert (code, told.count("\n")) == (2, 1)
    assert told.startswith("check_scheduler: ")
    assert PASSWORD not in told


@pytest.mark.slow
def test_two_schedulers_that_come_back_after_a_day_do_what_is_due_once(
    world: ProcessWorld, schedulers: Schedulers
) -> None:
    failed = [failed_job(world) for _job in range(3)]
    stuck = world.enqueue()
    world.sql("SELECT * FROM llm.usp_claim_next_job(worker_id => 'w')")
    world.sql("UPDATE llm.job SET lease_expires_utc = now() - interval '1 minute' WHERE job_id = %s", stuck)
    texts = {"statuses": "FAILED", "error_kinds": "model_not_found", "interrogation_keys": ""}
    plan(
        world, "retrypolicy", name="nightly", **texts, min_age_minutes=0, max_age_days=30, max_jobs=500, max_requeues=3
    )
    empty = dict.fromkeys(("lake_path", "entity_type", "entity_id", "evidence_ref_json", "model_hint"), "")
    job = {"interrogation_key": KEY, "input_json": input_json(), "priority": 100, "max_attempts": 3, "as_batch": False}
    plan(world, "recurringinterrogation", name="daily", **empty, **job)
    # As a day without them left it.
    world.sql("UPDATE django_q_schedule SET next_run = now() - interval '1 day'")
    world.sql(
        "INSERT INTO django_q_schedule (name, func, schedule_type, repeats, next_run, minutes) "
        "VALUES ('alien', 'os.getcwd', 'I', -1, now() - interval '1 day', 1)"
    )
    schedulers.start()
    schedulers.start()
    try:
        wait_until(
            lambda: (
                len(world.sql("SELECT 1 FROM derive_taskstate WHERE ended_utc IS NOT NULL")) >= len(SYSTEM_TASKS) + 2
            ),
            "every system task and both plans have run",
        )
        wait_until(lambda: not world.sql("SELECT 1 FROM django_q_ormq"), "nothing waits")
        exit_codes = schedulers.stop()
    finally:
        world.sql("DELETE FROM django_q_schedule WHERE name = 'alien'")
    assert exit_codes == [0, 0]
    events = world.sql("SELECT job_id, event FROM llm.job_event WHERE actor LIKE 'schedule%%' ORDER BY event_seq")
    requeued = [event["job_id"] for event in events if event["event"] == "requeued"]
    assert sorted(requeued, key=str) == sorted(failed, key=str)
    assert [event["job_id"] for event in events if event["event"] == "lease_expired"] == [stuck]
    assert len(world.sql("SELECT 1 FROM llm.job WHERE created_by = 'schedule:daily'")) == 1
    runs = world.sql("SELECT task, outcome, times FROM derive_schedulerun WHERE task LIKE 're%%:%%'")
    assert {(run["task"], run["outcome"], run["times"]) for run in runs} == {
        ("retry:nightly", "done", 1),
        ("recurring:daily", "done", 1),
    }
    assert len(world.sql("SELECT 1 FROM derive_schedulerprocess")) == 2
    code, told = checked(world)
    assert code == 0, told
    world.sql("UPDATE derive_schedulerprocess SET seen_utc = now() - interval '2 minutes'")
    code, told = checked(world)
    assert (code, "was 12" in told) == (1, True)
    lines = [json.loads(line) for line in schedulers.said().splitlines()]
    switched_off = [line for line in lines if line["event"] == "schedule.switched_off"]
    assert {line["func"] for line in switched_off} == {"os.getcwd"}
    for word in (PASSWORD, SECRET_KEY):
        assert word not in schedulers.said()
