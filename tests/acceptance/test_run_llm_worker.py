"""``manage.py run_llm_worker`` as a person or a service runs it: exit codes, signals, crashes, several at once."""

import resource
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from holocron.embedded_postgres.layout import DATABASE_USER
from tests.acceptance.worker_processes import ProcessWorld, wait_until
from tests.fake_ollama import Gate, behaviours
from tests.faults.worker_world import GOOD_ANSWER, input_json


def test_the_exit_code_of_once_reports_how_the_run_ended(world: ProcessWorld) -> None:
    assert world.worker("--once").exit_code() == 3
    succeeding = world.enqueue()
    assert world.worker("--once", "--verbose").exit_code() == 0
    assert world.job(succeeding)["status"] == "SUCCEEDED"
    world.fake.next(behaviours.wrong_quote("e1"))
    failing = world.enqueue(max_attempts=1)
    assert world.worker("--once").exit_code() == 1
    assert world.job(failing)["status"] == "DEADLETTER"


def test_once_could_not_start_without_a_model_server(world: ProcessWorld) -> None:
    world.fake.go_away()
    job_id = world.enqueue()
    process = world.worker("--once")
    assert process.exit_code() == 2
    assert process.said().splitlines()[-1].startswith("run_llm_worker: ")
    assert world.fake.url in process.said()
    assert world.runs(job_id) == []


def test_redaction_patterns_of_ones_own_reach_the_evidence(world: ProcessWorld) -> None:
    file = world.folder / "redactions.toml"
    file.write_text("[[pattern]]\nname = 'planet'\nregex = 'Tatooine'\n", encoding="utf-8")
    job_id = world.enqueue(input_json=input_json(text="Luke grew up on Tatooine."))
    world.worker("--once", HOLOCRON_REDACTIONS=str(file)).exit_code()
    (run,) = world.runs(job_id)
    (row,) = world.sql(
        "SELECT lake_uri FROM llm.artifact WHERE run_id = %s AND artifact_type = 'evidence_bundle'", run["run_id"]
    )
    stored = (world.folder / "lake" / row["lake_uri"]).read_text("utf-8")
    assert "Luke grew up on [redacted:planet]." in stored
    assert "Tatooine" not in stored


def test_redaction_patterns_that_cannot_be_used_stop_the_start(world: ProcessWorld) -> None:
    process = world.worker("--once", HOLOCRON_REDACTIONS=str(world.folder / "none.toml"))
    assert process.exit_code() == 2
    assert "none.toml cannot be read" in process.said()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_lets_running_jobs_finish_and_leaves_the_rest(number: signal.Signals, world: ProcessWorld) -> None:
    answer = Gate()
    world.fake.next(behaviours.answer(GOOD_ANSWER, gate=answer))
    running, waiting = world.enqueue(priority=200), world.enqueue()
    process = world.looping("--grace-seconds", "30")
    world.wait_for_question()
    process.send(number)
    process.wait_for("worker.stopping")
    answer.open()
    assert process.exit_code() == 0
    assert world.job(running)["status"] == "SUCCEEDED"
    assert (world.job(waiting)["status"], world.runs(waiting)) == ("NEW", [])
    (row,) = world.sql("SELECT stopping, active_runs FROM llm.worker")
    assert (row["stopping"], row["active_runs"]) == (True, 0)


@pytest.mark.parametrize(("grace_seconds", "signals"), [("0.2", 1), ("3600", 2)], ids=["grace over", "second signal"])
def test_what_does_not_finish_in_time_goes_back(grace_seconds: str, signals: int, world: ProcessWorld) -> None:
    world.fake.next(behaviours.falls_silent())
    job_id = world.enqueue()
    process = world.looping("--grace-seconds", grace_seconds)
    world.wait_for_question()
    for _ in range(signals):
        process.send(signal.SIGTERM)
        process.wait_for("worker.stopping")
    assert process.exit_code() == 0
    assert (world.job(job_id)["status"], world.job(job_id)["attempt_count"]) == ("NEW", 0)
    assert [run["error_kind"] for run in world.runs(job_id)] == ["released"]


def test_after_a_kill_another_worker_finishes_the_job(world: ProcessWorld) -> None:
    world.fake.next(behaviours.falls_silent())
    job_id = world.enqueue()
    killed = world.looping("--lease-seconds", "1")
    world.wait_for_question()
    other = world.looping("--lease-seconds", "1")
    killed.send(signal.SIGKILL)
    killed_at = time.monotonic()
    assert killed.exit_code() == -signal.SIGKILL
    world.wait_for_question(2)
    assert time.monotonic() - killed_at <= 1 + 5, "lease and five seconds"
    world.wait_for(job_id, "SUCCEEDED")
    other.send(signal.SIGTERM)
    assert other.exit_code() == 0
    assert [(run["error_kind"], run["counted"]) for run in world.runs(job_id)] == [
        ("lease_expired", True),
        (None, True),
    ]


def test_a_killed_workers_successor_of_the_same_id_starts_at_once(world: ProcessWorld) -> None:
    world.fake.next(behaviours.falls_silent())
    job_id = world.enqueue()
    killed = world.looping("--worker-id", "the-one", "--lease-seconds", "3600")
    world.wait_for_question()
    killed.send(signal.SIGKILL)
    assert killed.exit_code() == -signal.SIGKILL
    successor = world.looping("--worker-id", "the-one", "--lease-seconds", "3600")
    assert "worker.took_over" in successor.events()
    other = world.enqueue()
    world.wait_for(other, "SUCCEEDED")
    # Not given back uncounted: a job that kills its worker would do so for ever.
    (run,) = world.runs(job_id)
    assert (run["status"], world.job(job_id)["status"]) == ("RUNNING", "RUNNING")
    world.sql("UPDATE llm.job SET lease_expires_utc = now() - interval '1 second' WHERE job_id = %s", job_id)
    world.wait_for(job_id, "SUCCEEDED")
    assert [(run["error_kind"], run["counted"]) for run in world.runs(job_id)] == [
        ("lease_expired", True),
        (None, True),
    ]
    successor.send(signal.SIGTERM)
    assert successor.exit_code() == 0


def test_a_killed_workers_successor_without_proof_waits_for_its_lease(world: ProcessWorld) -> None:
    killed = world.looping("--worker-id", "the-one", "--lease-seconds", "3600")
    killed.send(signal.SIGKILL)
    assert killed.exit_code() == -signal.SIGKILL
    for file in (world.folder / "workers").iterdir():
        file.unlink()
    successor = world.worker("--loop", "--worker-id", "the-one", "--lease-seconds", "3600")
    successor.wait_for("worker.id_in_use")
    world.sql("UPDATE llm.worker SET last_seen_utc = last_seen_utc - interval '3601 seconds'")
    successor.wait_for("worker.started")
    successor.send(signal.SIGTERM)
    assert successor.exit_code() == 0


def test_a_paused_worker_whose_job_was_taken_over_is_refused(world: ProcessWorld) -> None:
    answer = Gate()
    world.fake.next(behaviours.answer(GOOD_ANSWER, gate=answer))
    job_id = world.enqueue()
    zombie = world.looping("--lease-seconds", "1", "--worker-id", "zombie")
    world.wait_for_question()
    zombie.send(signal.SIGSTOP)
    other = world.looping("--lease-seconds", "1", "--worker-id", "other")
    world.wait_for(job_id, "SUCCEEDED")
    answer.open()
    zombie.send(signal.SIGCONT)
    wait_until(lambda: {"run.lost", "run.refused"} & set(zombie.events()), "the zombie finds out")
    for process in (zombie, other):
        process.send(signal.SIGTERM)
        assert process.exit_code() == 0
    runs = world.runs(job_id)
    assert [(run["worker_id"], run["status"]) for run in runs] == [("zombie", "FAILED"), ("other", "SUCCEEDED")]
    artifacts = world.sql("SELECT DISTINCT run_id FROM llm.artifact")
    assert [row["run_id"] for row in artifacts] == [runs[1]["run_id"]]


def test_two_workers_share_the_queue_and_do_nothing_twice(world: ProcessWorld) -> None:
    workers = [world.looping("--concurrency", "2", "--worker-id", name) for name in ("one", "two")]
    both_asked = Gate()
    world.fake.next(*[behaviours.answer(GOOD_ANSWER, gate=both_asked)] * 4)
    jobs = [world.enqueue() for _ in range(30)]
    world.wait_for_question(4)
    both_asked.open()
    wait_until(lambda: world.sql("SELECT 1 FROM llm.job WHERE status <> 'SUCCEEDED'") == [], "all jobs have succeeded")
    for process in workers:
        process.send(signal.SIGTERM)
        assert process.exit_code() == 0
    runs = world.sql("SELECT job_id, worker_id FROM llm.run")
    assert sorted(run["job_id"] for run in runs) == sorted(jobs)
    assert {run["worker_id"] for run in runs} == {"one", "two"}
    assert len(world.fake.chats) == 30


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["shut down", "crashed"])
def test_losing_the_database_during_a_run_costs_no_attempt(how: signal.Signals, world: ProcessWorld) -> None:
    answer = Gate()
    world.fake.next(behaviours.answer(GOOD_ANSWER, gate=answer))
    job_id = world.enqueue(max_attempts=1)
    process = world.looping("--lease-seconds", "3600")
    world.wait_for_question()
    world.postgres.stop(how)
    try:
        answer.open()
        # Until the result is in the lake: handing it in is what then meets a database that is away.
        wait_until(lambda: list((world.folder / "lake").rglob("manifest.json")), "the run is written")
        process.wait_for("worker.database_away")
    finally:
        world.postgres.start()
    world.wait_for(job_id, "SUCCEEDED")
    process.wait_for("worker.database_back")
    later = world.enqueue()
    world.wait_for(later, "SUCCEEDED")
    process.send(signal.SIGTERM)
    assert process.exit_code() == 0
    assert [(run["attempt"], run["status"]) for run in world.runs(job_id)] == [(1, "SUCCEEDED")]


def test_a_result_whose_lease_was_lost_during_an_outage_is_discarded_and_logged(
    world: ProcessWorld,
) -> None:
    answer = Gate()
    world.fake.next(behaviours.answer(GOOD_ANSWER, gate=answer))
    job_id = world.enqueue()
    process = world.looping("--lease-seconds", "3600")
    world.wait_for_question()
    world.postgres.stop()
    try:
        answer.open()
        wait_until(lambda: list((world.folder / "lake").rglob("manifest.json")), "the run is written")
        process.wait_for("worker.database_away")
        process.send(signal.SIGSTOP)
    finally:
        world.postgres.start()
    world.sql("UPDATE llm.job SET lease_expires_utc = now() - interval '1 second'")
    assert len(world.sql("SELECT * FROM llm.usp_reap_expired_leases()")) == 1
    process.send(signal.SIGCONT)
    wait_until(lambda: {"run.lost", "run.refused"} & set(process.events()), "it is said to be discarded")
    world.wait_for(job_id, "SUCCEEDED")
    process.send(signal.SIGTERM)
    assert process.exit_code() == 0
    first, second = world.runs(job_id)
    assert (first["status"], first["error_kind"], second["status"]) == ("FAILED", "lease_expired", "SUCCEEDED")
    assert world.sql("SELECT 1 FROM llm.artifact WHERE run_id = %s", first["run_id"]) == []
    assert first["output_json"] is None


def test_a_worker_stops_in_time_without_a_database(world: ProcessWorld) -> None:
    answer = Gate()
    world.fake.next(behaviours.answer(GOOD_ANSWER, gate=answer))
    job_id = world.enqueue()
    process = world.looping("--grace-seconds", "0.2")
    world.wait_for_question()
    world.postgres.stop()
    try:
        answer.open()
        process.wait_for("worker.database_away")
        process.send(signal.SIGTERM)
        assert process.exit_code() == 0
    finally:
        world.postgres.start()
    assert world.job(job_id)["status"] == "RUNNING", "its lease runs out, and it is reaped"


def test_a_worker_without_files_waits_for_more_and_costs_no_attempt(world: ProcessWorld) -> None:
    first = world.enqueue()
    process = world.looping("--concurrency", "4")
    world.wait_for(first, "SUCCEEDED")
    before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    # Fewer than are open: a kept connection that is closed meanwhile makes no room.
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (process.open_files() - 8, before[1]))
    jobs = [world.enqueue(max_attempts=1) for _ in range(4)]
    process.wait_for("worker.waiting")
    assert "ulimit -n" in process.said()

    def runs() -> list[dict[str, Any]]:
        return [run for job_id in jobs for run in world.runs(job_id)]

    # What was claimed with the one that found it out ends as well.
    wait_until(lambda: all(run["status"] != "RUNNING" for run in runs()), "claimed runs have ended")
    ended, probes = runs(), process.events().count("worker.still_waiting")
    wait_until(lambda: process.events().count("worker.still_waiting") >= probes + 2, "probes that fail")
    assert runs() == ended
    assert {run["counted"] for run in ended} <= {False}
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)
    for job_id in jobs:
        world.wait_for(job_id, "SUCCEEDED")
        assert world.job(job_id)["attempt_count"] == 1
    assert "never retrieved" not in process.said()


@pytest.fixture
def narrow_url(world: ProcessWorld) -> Iterator[str]:
    """A login for one connection: the lease keeper, which needs the second, is refused."""
    world.sql("CREATE ROLE narrow LOGIN CONNECTION LIMIT 1 IN ROLE llm_worker")
    yield world.postgres.url.replace(f"{DATABASE_USER}:", "narrow:")
    world.sql("DROP ROLE narrow")


def test_nothing_is_claimed_that_the_lease_keeper_cannot_keep(narrow_url: str, world: ProcessWorld) -> None:
    job_id = world.enqueue()
    process = world.worker("--loop", "--poll-seconds", "0.1", DATABASE_URL=narrow_url).wait_for("worker.database_away")
    assert "as many connections as it may" in process.said()
    once = world.worker("--once")
    assert (once.exit_code(), world.job(job_id)["status"]) == (0, "SUCCEEDED")
    waiting = world.enqueue()
    world.sql("ALTER ROLE narrow CONNECTION LIMIT 10")
    process.wait_for("worker.database_back")
    world.wait_for(waiting, "SUCCEEDED")
    process.send(signal.SIGTERM)
    assert process.exit_code() == 0


def test_once_reports_in_one_line_that_no_lease_could_be_kept(narrow_url: str, world: ProcessWorld) -> None:
    job_id = world.enqueue()
    process = world.worker("--once", DATABASE_URL=narrow_url)
    assert process.exit_code() == 2
    last = process.said().splitlines()[-1]
    assert last.startswith("run_llm_worker: no lease could be kept: ")
    assert "as many connections as it may" in last
    assert world.runs(job_id) == []


@pytest.mark.parametrize("is_mounted", [False, True], ids=["missing", "another"])
def test_a_worker_restarted_without_its_lake_makes_no_new_one(is_mounted: bool, world: ProcessWorld) -> None:
    world.enqueue()
    assert world.worker("--once").exit_code() == 0
    lake, kept = world.folder / "lake", world.folder / "unmounted"
    lake.rename(kept)
    if is_mounted:
        lake.mkdir()
    job_id = world.enqueue()
    process = world.worker("--once")
    assert process.exit_code() == 2
    assert process.said().splitlines()[-1].startswith("run_llm_worker: The lake ")
    assert (world.job(job_id)["status"], world.runs(job_id)) == ("NEW", [])
    looping = world.looping().wait_for("worker.waiting")
    assert list(lake.rglob("*")) == []
    if is_mounted:
        lake.rmdir()
    kept.rename(lake)
    world.wait_for(job_id, "SUCCEEDED")
    looping.send(signal.SIGTERM)
    assert looping.exit_code() == 0


def test_other_scripts_than_the_trees_are_refused_by_name(world: ProcessWorld) -> None:
    name = "procedures/usp_complete_job.sql"
    (row,) = world.sql("SELECT script_name, sha256 FROM llm.schema_script WHERE script_name LIKE %s", f"%{name}")
    world.sql("UPDATE llm.schema_script SET sha256 = %s WHERE script_name = %s", "0" * 64, row["script_name"])
    try:
        process = world.worker("--once")
        assert process.exit_code() == 2
    finally:
        world.sql("UPDATE llm.schema_script SET sha256 = %s WHERE script_name = %s", row["sha256"], row["script_name"])
    assert row["script_name"] in process.said()
    assert process.said().count("\n") == 1


def test_a_name_that_is_taken_is_refused(world: ProcessWorld) -> None:
    first = world.looping("--worker-id", "the-one")
    second = world.worker("--loop", "--worker-id", "the-one")
    assert second.exit_code() == 2
    assert "choose another --worker-id" in second.said()
    first.send(signal.SIGTERM)
    assert first.exit_code() == 0


@pytest.mark.parametrize(
    ("variable", "value"),
    [("OLLAMA_SEED", "abc"), ("LAKE_URL", "ftp://somewhere"), ("HOLOCRON_INTERROGATIONS", "/no/such/folder")],
)
def test_a_wrong_setting_is_one_line(variable: str, value: str, world: ProcessWorld) -> None:
    process = world.worker("--once", **{variable: value})
    assert process.exit_code() == 2
    assert process.said().count("\n") == 1, process.said()
    assert variable in process.said() or value in process.said()


@pytest.mark.parametrize(
    "arguments",
    [("--concurrency", "0"), ("--lease-seconds", "x"), ("--once", "--loop"), ("--metrics-port", "70000")],
    ids=" ".join,
)
def test_a_wrong_option_could_not_start(arguments: tuple[str, ...], world: ProcessWorld) -> None:
    assert world.worker(*arguments).exit_code() == 2


def test_a_database_that_is_down_could_not_start(world: ProcessWorld) -> None:
    process = world.worker("--once", DATABASE_URL="postgresql://me:hush-hush@127.0.0.1:1/holocron")
    assert process.exit_code() == 2
    assert process.said().count("\n") == 1
    assert "hush-hush" not in process.said()
