"""Each promise that the chaos run is judged by notices when it is broken: here each is, on purpose, once.

A small true history is made by a worker; then rows and files are changed in a transaction that is rolled back. What is
promised of processes and of callers is broken in ``test_chaos_promises_of_processes``; how the command then ends is
seen in ``test_chaos_command``.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.db import connection

from derive.batch_contracts import BatchInput, FollowUp
from derive.contracts import Enqueued
from derive.sql.tables import Engine, engine_of
from derive.states import JobStatus
from tests.chaos import batch_promises, fact_promises, job_promises, lake_promises, recovery, run_promises
from tests.chaos.history import History
from tests.chaos.ledger import Ledger
from tests.chaos.promises import Violation, judged
from tests.chaos.story import story_of
from tests.contract.scenes import a_job, ref
from tests.faults.chaos_scene import SUCCEEDED, Scene, changed, make_scene
from tests.faults.worker_world import World


@pytest.fixture
def scene(world: World) -> Scene:
    return make_scene(world)


def promises_of(violations: list[Violation]) -> set[str]:
    return {violation.promise for violation in violations}


def test_a_true_history_breaks_no_promise(scene: Scene) -> None:
    assert scene.violations() == []
    assert scene.verified().orphans == {scene.world.run(scene.expired).run_id}


LAST_RUN = f"job_id = {SUCCEEDED} AND attempt = 2"
FIRST_RUN = f"job_id = {SUCCEEDED} AND attempt = 1"

BROKEN_ROWS = {
    "every job is in an end state": (
        "UPDATE llm.job SET status = 'NEW', finished_utc = NULL WHERE created_by = 'ada' AND status = 'CANCELLED'"
    ),
    "every state is explained by events": (
        "UPDATE llm.job SET status = 'FAILED' WHERE created_by = 'ada' AND status = 'CANCELLED'"
    ),
    "every events from status is the to status before it": (
        f"UPDATE llm.job_event SET from_status = 'SCHEDULED' WHERE event = 'completed' AND job_id = {SUCCEEDED}"
    ),
    "every move is legal": (
        f"UPDATE llm.job_event SET to_status = 'FAILED' WHERE event = 'retried' AND job_id = {SUCCEEDED}"
    ),
    "every run was ended by its own lease or a reaper": (
        f"UPDATE llm.job_event SET actor = 'another-worker' WHERE event = 'completed' AND job_id = {SUCCEEDED}"
    ),
    "attempts are the runs that counted": f"UPDATE llm.run SET counted = FALSE WHERE {FIRST_RUN}",
    "no job got more than max attempts without a requeue": (
        "UPDATE llm.job SET max_attempts = 1 WHERE dedupe_key = 'a'"
    ),
    "every succeeded run left its artifacts": (
        "DELETE FROM llm.artifact WHERE artifact_type = 'parsed_output'"
        f" AND run_id = (SELECT run_id FROM llm.run WHERE {LAST_RUN})"
    ),
    "every job enqueued exists": (
        "DELETE FROM llm.job_event WHERE event IN ('enqueued', 'cancelled') AND job_id IN"
        " (SELECT job_id FROM llm.job WHERE status = 'CANCELLED'); DELETE FROM llm.job WHERE status = 'CANCELLED'"
    ),
}
"""What is changed in the rows, by the promise that it breaks."""


def test_changed_rows_break_the_promise(scene: Scene) -> None:
    for promise, sql in BROKEN_ROWS.items():
        with changed(sql if engine_of(connection) is Engine.POSTGRESQL else sql.replace("FALSE", "0")):
            assert promise in promises_of(scene.violations()), promise


def test_broken_promises_of_batches_are_found(scene: Scene) -> None:
    queue = scene.world.queue
    batch_id = queue.open_batch(
        BatchInput(name="letters", on_finish=FollowUp(jobs=(a_job(priority=1),))), actor="ada"
    ).batch_id
    inside = queue.enqueue(a_job(), batch_id=batch_id)
    queue.fill_batch(batch_id, actor="ada")
    queue.cancel([ref(inside)], actor="ada")
    queue.sweep_batches()
    assert [judged(promise, scene.history) for promise in batch_promises.BY_SQL] == [[], [], []]
    again = (
        "INSERT INTO llm.batch_event (batch_id, at_utc, event, actor)"
        " SELECT batch_id, at_utc, event, actor FROM llm.batch_event WHERE event = "
    )
    for promise, sql in (
        (batch_promises.every_batch_ended_exactly_once, f"{again}'batch_finished'"),
        (batch_promises.every_batch_ended_exactly_once, "DELETE FROM llm.batch_event WHERE event = 'batch_finished'"),
        (batch_promises.what_follows_a_batch_was_queued_exactly_once, f"{again}'batch_continued'"),
        (
            batch_promises.what_follows_a_batch_was_queued_exactly_once,
            "DELETE FROM llm.batch_event WHERE event = 'batch_continued'",
        ),
        (batch_promises.a_batchs_counts_are_its_jobs, "UPDATE llm.batch SET queued_jobs = 2"),
        (batch_promises.a_batchs_counts_are_its_jobs, "UPDATE llm.batch_count SET jobs = jobs + 1"),
    ):
        with changed(sql):
            assert judged(promise, scene.history), sql


BROKEN_INDEXES = {
    "no job has two succeeded runs": (
        f"DROP INDEX llm.ux_run_succeeded; UPDATE llm.run SET status = 'SUCCEEDED' WHERE {FIRST_RUN}"
    ),
    "duplicates by key are one job": (
        "DROP INDEX llm.ux_job_dedupe;"
        " UPDATE llm.job SET dedupe_key = 'a', status = 'SUCCEEDED' WHERE status = 'CANCELLED'"
    ),
}
"""What the database itself refuses until its unique index is gone."""


def test_what_an_index_forbids_breaks_the_promise_without_it(scene: Scene) -> None:
    if engine_of(connection) is not Engine.POSTGRESQL:
        pytest.skip("an index is dropped here in a transaction that is rolled back, in PostgreSQL's words")
    for promise, sql in BROKEN_INDEXES.items():
        with changed(sql):
            assert promise in promises_of(scene.violations()), promise


def moved(history: History, run_id: UUID, **seconds: float) -> History:
    """Return the history with times of one run moved."""
    run = history.runs[run_id]
    times = {name: getattr(run, name) + timedelta(seconds=by) for name, by in seconds.items()}
    other = replace(run, **times)
    runs_of = [other if one.run_id == run_id else one for one in history.runs_of[run.job_id]]
    return replace(history, runs=history.runs | {run_id: other}, runs_of=history.runs_of | {run.job_id: runs_of})


def test_runs_that_overlap_are_found(scene: Scene) -> None:
    last = scene.world.run(scene.succeeded).run_id
    promise = run_promises.no_two_runs_of_a_job_overlapped_in_granted_lease_time
    assert judged(promise, scene.history) == []
    assert len(judged(promise, moved(scene.history, last, started_utc=-3600))) == 1


def test_a_run_reaped_before_its_lease_was_over_is_found(scene: Scene) -> None:
    run_id = scene.world.run(scene.expired).run_id
    promise = run_promises.every_run_was_ended_by_its_own_lease_or_a_reaper
    assert len(judged(promise, moved(scene.history, run_id, lease_until_utc=60))) == 1


@pytest.mark.parametrize("rival", ["another run", "no run"])
def test_an_end_by_another_lease_is_found(rival: str, scene: Scene) -> None:
    history = scene.history
    events = list(history.events_of[scene.succeeded])
    events[-1] = replace(events[-1], run_id=events[1].run_id if rival == "another run" else None)
    forged = replace(history, events_of=history.events_of | {scene.succeeded: events})
    assert judged(run_promises.every_run_was_ended_by_its_own_lease_or_a_reaper, forged)


def test_what_stays_running_past_its_lease_is_found_unless_nobody_could_reap(scene: Scene) -> None:
    run_id = scene.world.run(scene.expired).run_id
    promise = run_promises.nothing_stays_running_past_its_lease_and_the_reap_interval
    late = moved(scene.history, run_id, completed_utc=60)
    assert len(judged(promise, late)) == 1
    end = late.runs[run_id].lease_until_utc.timestamp()
    assert judged(promise, late, [(end, end + 100)]) == []
    job = replace(
        late.jobs[scene.cancelled], status=JobStatus.RUNNING, lease_expires_utc=late.now - timedelta(seconds=60)
    )
    running = replace(scene.history, jobs=late.jobs | {job.job_id: job})
    assert [one.job_id for one in judged(promise, running)] == [scene.cancelled]


def test_a_duplicate_answered_with_a_strangers_job_is_found(scene: Scene) -> None:
    ledger = Ledger(queued=scene.ledger.queued, duplicates=[("b", scene.succeeded)])
    assert judged(job_promises.duplicates_by_key_are_one_job, scene.history, ledger)


def test_a_job_that_nobody_queued_and_one_that_is_gone_are_found(scene: Scene) -> None:
    lost = uuid4()
    ledger = Ledger(queued={scene.succeeded, scene.expired, lost})
    found = judged(job_promises.every_job_enqueued_exists, scene.history, ledger)
    assert [one.job_id for one in found] == [lost, scene.cancelled]


def _remove(path: Path) -> None:
    path.unlink()


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("name", "harm"), [("output.json", _remove), ("response.ndjson", _flip), ("manifest.json", _cut)]
)
def test_a_harmed_file_is_found_by_rows_and_by_verify_runs(
    name: str, harm: Callable[[Path], None], scene: Scene
) -> None:
    harm(scene.file(scene.succeeded, name))
    found = scene.violations()
    assert {
        "every artifact row has its file with its hash",
        "every run verifies in full",
    } <= promises_of(found)
    assert {one.job_id for one in found} == {scene.succeeded}


def test_torn_files_are_found_also_where_no_row_speaks_of_them(scene: Scene) -> None:
    orphan = scene.file(scene.expired, "evidence.json")
    for name, content in (("evidence.json", b'{"items": ['), ("prompt.txt", b""), ("manifest.json", b"{")):
        orphan.with_name(name).write_bytes(content)
    found = judged(lake_promises.no_file_of_the_lake_is_torn, scene.history, scene.lake)
    assert len(found) == 3
    assert {one.job_id for one in found} == {scene.expired}
    for name in ("evidence.json", "prompt.txt"):
        orphan.with_name(name).unlink()
    orphan.with_name("manifest.json").write_text(json.dumps({"files": [{"name": "evidence.json"}]}))
    assert len(judged(lake_promises.no_file_of_the_lake_is_torn, scene.history, scene.lake)) == 1
    half = orphan.with_name(".evidence.json.1f")
    half.write_bytes(b"half")
    assert scene.lake.hidden == 1
    half.unlink()


def test_orphans_must_be_listed_and_only_they(scene: Scene) -> None:
    promise = lake_promises.verify_runs_lists_every_orphan_and_only_those
    verified = scene.verified()
    silent = replace(verified, orphans=frozenset())
    assert [one.job_id for one in judged(promise, scene.history, scene.lake, silent)] == [scene.expired]
    loud = replace(verified, orphans=verified.orphans | {scene.world.run(scene.succeeded).run_id})
    assert [one.job_id for one in judged(promise, scene.history, scene.lake, loud)] == [scene.succeeded]


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM llm.fact",
        "UPDATE llm.fact SET verdict = 'REFUTED'",
        "UPDATE llm.fact SET quote_start = 1",
        f"UPDATE llm.fact SET run_id = (SELECT run_id FROM llm.run WHERE {FIRST_RUN})",
        "UPDATE llm.fact SET job_id = (SELECT job_id FROM llm.job WHERE status = 'CANCELLED')",
    ],
)
def test_facts_that_the_artifacts_do_not_give_are_found(sql: str, scene: Scene) -> None:
    promise = fact_promises.a_succeeded_runs_facts_are_what_its_artifacts_give_exactly_once
    assert judged(promise, scene.history, scene.lake) == []
    with changed(sql):
        assert {one.job_id for one in judged(promise, scene.history, scene.lake)} == {scene.succeeded}


def test_runs_that_were_not_verified_are_found(scene: Scene) -> None:
    few = replace(scene.verified(), runs=1)
    assert judged(lake_promises.every_run_verifies_in_full, scene.history, few)


@pytest.mark.parametrize("seconds", [(), (1.0, recovery.RECOVERED_WITHIN_SECONDS + 0.1)])
def test_a_recovery_that_was_late_or_never_measured_is_found(seconds: tuple[float, ...]) -> None:
    promise = recovery.a_killed_workers_jobs_run_again_within_the_lease_and_five_seconds
    assert judged(promise, recovery.Recovery(calm=seconds, amid_chaos=()))


def test_the_story_of_a_job_tells_its_events_runs_and_artifacts(scene: Scene) -> None:
    told = "\n".join(story_of(scene.history, scene.succeeded))
    for word in ("enqueued", "claimed", "retried", "completed", "invalid_output", "parsed_output", "manifest.json"):
        assert word in told


def test_the_ledger_tells_jobs_from_duplicates() -> None:
    ledger, job = Ledger(), uuid4()
    ledger.note("a", Enqueued(job_id=job, is_duplicate=False, status=JobStatus.NEW))
    ledger.note("a", Enqueued(job_id=job, is_duplicate=True, status=JobStatus.NEW))
    assert (ledger.queued, ledger.duplicates) == ({job}, [("a", job)])
