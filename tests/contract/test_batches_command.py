"""``manage.py batches`` and ``enqueue_jobs --batch``, as their user types them."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from derive.batch_contracts import BatchInput
from derive.batches import acting
from derive.batches.acting import RETRIED, retry_batch
from derive.management.batch_watching import WATCH_SECONDS, line_of, watched
from derive.models import Batch, Job
from derive.queue import JobQueue
from derive.states import JobStatus
from tests.contract.scenes import ACTOR, WORKER, a_job, claim_one, failure, success
from tests.faults.worker_world import KEY, input_json


def ran(command: str, *arguments: str) -> tuple[int, str, str]:
    """Return the exit code and what was printed to standard output and error."""
    out, err = StringIO(), StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command(command, *arguments, stdout=out, stderr=err)
    return int(ended.value.code or 0), out.getvalue(), err.getvalue()


def told(*arguments: str, code: int = 0) -> Any:
    """What ``batches`` prints with ``--json``."""
    ended, out, err = ran("batches", *arguments, "--json")
    assert ended == code, err
    return json.loads(out)


def a_batch(queue: JobQueue, amount: int, name: str = "letters", **values: Any) -> Batch:
    batch_id = queue.open_batch(BatchInput(name=name, **values), actor=ACTOR).batch_id
    queue.enqueue_many([a_job() for _ in range(amount)], actor=ACTOR, batch_id=batch_id)
    queue.fill_batch(batch_id, actor=ACTOR)
    batch: Batch = Batch.objects.get(batch_id=batch_id)
    return batch


def lines(path: Path, amount: int) -> Path:
    record = {"interrogation_key": KEY, "input_json": input_json()}
    path.write_text("".join(f"{json.dumps(record)}\n" for _ in range(amount)), "utf-8")
    return path


def test_an_empty_queue_has_no_batches(queue: JobQueue, capsys: pytest.CaptureFixture[str]) -> None:
    assert told() == []
    ran("batches")
    assert "no batches" in capsys.readouterr().out


def test_a_file_is_queued_as_a_batch_and_its_follow_up_when_it_has_ended(queue: JobQueue, tmp_path: Path) -> None:
    after = {"jobs": [{"interrogation_key": KEY, "input_json": input_json(), "entity_id": "after"}], "name": "next"}
    (tmp_path / "next.json").write_text(json.dumps(after), "utf-8")
    arguments = [str(lines(tmp_path / "jobs.jsonl", 3)), "--batch", "letters", "--budget-tokens", "500", "--json"]
    code, out, err = ran("enqueue_jobs", *arguments, "--on-finish", str(tmp_path / "next.json"))
    assert code == 0, err
    batch = Batch.objects.get(name="letters")
    assert json.loads(out)["batch_id"] == str(batch.batch_id)
    assert (batch.queued_jobs, batch.budget_tokens, batch.filled_utc is not None) == (3, 500, True)
    for claim in queue.claim(WORKER, max_jobs=10):
        queue.complete(success(claim))
    queue.sweep_batches()
    assert Batch.objects.get(name="next").previous_batch_id == batch.batch_id
    assert Job.objects.get(entity_id="after").status == JobStatus.NEW


def test_a_batch_that_is_kept_open_takes_more(queue: JobQueue, tmp_path: Path) -> None:
    path = lines(tmp_path / "jobs.jsonl", 1)
    ran("enqueue_jobs", str(path), "--batch", "letters", "--keep-open")
    assert Batch.objects.get().filled_utc is None
    ran("enqueue_jobs", "--batch", "letters", "--entity-type", "planet", "--entity-id", "hoth", "--evidence", "Ice.")
    batch = Batch.objects.get()
    assert (batch.queued_jobs, batch.filled_utc is not None) == (2, True)


@pytest.mark.parametrize(
    ("options", "content", "why"),
    [
        (["--budget-tokens", "5"], None, "need --batch"),
        (["--keep-open"], None, "need --batch"),
        (["--batch", " "], None, "name: "),
        (["--batch", "a", "--budget-tokens", "0"], None, "budget_tokens: "),
        (["--batch", "a"], "nothing", "not JSON"),
        (["--batch", "a"], "[]", "not an object"),
        (["--batch", "a"], "{}", "not an array"),
        (["--batch", "a"], '{"jobs": []}', "jobs: "),
        (["--batch", "a"], '{"jobs": [{"interrogation_key": "no such"}]}', "next.json: "),
        (["--batch", "a"], '{"jobs": [], "on_finish": 1}', "on_finish"),
        (["--batch", "a"], '{"jobs": [], "more": 1}', "jobs: "),
    ],
)
def test_options_that_make_no_batch_are_refused_before_anything_is_queued(
    queue: JobQueue, tmp_path: Path, options: list[str], content: str | None, why: str
) -> None:
    if content is not None:
        (tmp_path / "next.json").write_text(content, "utf-8")
        options = [*options, "--on-finish", str(tmp_path / "next.json")]
    code, _out, err = ran("enqueue_jobs", str(lines(tmp_path / "jobs.jsonl", 1)), *options)
    assert code == 2
    assert why in err
    assert not Batch.objects.exists()
    assert not Job.objects.exists()


def test_a_batch_is_shown_with_its_jobs_and_failures(queue: JobQueue, capsys: pytest.CaptureFixture[str]) -> None:
    batch = a_batch(queue, 3)
    queue.complete(failure(claim_one(queue)))
    queue.sweep_batches()
    document = told("show", "letters")
    assert document == told("show", str(batch.batch_id))
    assert (document["state"], document["jobs"], document["failures"]) == (
        "running",
        {"NEW": 2, "FAILED": 1},
        {"model_crashed": 1},
    )
    assert (document["percent"], document["left"], document["seconds_left"]) == (33, 2, None)
    ran("batches", "show", "letters")
    shown = capsys.readouterr().out
    assert "1 model_crashed" in shown
    assert "not known yet" in shown
    assert [one["name"] for one in told()] == ["letters"]


def test_a_name_means_the_newest_batch_of_that_name(queue: JobQueue) -> None:
    a_batch(queue, 0)
    queue.sweep_batches()
    second = a_batch(queue, 1)
    assert told("show", "letters")["batch_id"] == str(second.batch_id)
    assert [one["state"] for one in told()] == ["running", "ended"]
    assert len(told("--limit", "1")) == 1


def test_a_batch_is_paused_and_resumed(queue: JobQueue) -> None:
    a_batch(queue, 2)
    assert told("pause", "letters", "--reason", "GPU maintenance", "--actor", "bob")["changed_batch"]
    document = told("show", "letters")
    assert (document["state"], document["paused_by"], document["pause_reason"]) == ("paused", "bob", "GPU maintenance")
    assert queue.claim(WORKER) == []
    assert told("pause", "letters", "--reason", "x", code=1)["why"] == "already paused"
    assert told("resume", "letters")["changed_batch"]
    assert len(queue.claim(WORKER, max_jobs=5)) == 2


def test_all_jobs_of_a_batch_are_cancelled_in_steps_and_it_ends(
    queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "CHANGE_BATCH", 2)
    a_batch(queue, 5)
    running = claim_one(queue)
    other = queue.enqueue(a_job())
    document = told("cancel", "letters", "--reason", "wrong prompt")
    assert (document["changed_batch"], document["matched"], document["changed"]) == (True, 5, 5)
    assert told("show", "letters")["state"] == "cancelled"
    queue.release(running.run_id)
    queue.sweep_batches()
    assert told("show", "letters")["jobs"] == {"CANCELLED": 5}
    assert told("show", "letters")["state"] == "ended"
    assert Job.objects.get(job_id=other.job_id).status == JobStatus.NEW
    assert told("cancel", "letters", "--reason", "again")["matched"] == 0


def test_what_failed_is_retried_and_what_was_cancelled_is_not(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acting, "CHANGE_BATCH", 2)
    batch = a_batch(queue, 6)
    claims = queue.claim(WORKER, max_jobs=5)
    queue.complete(success(claims[0]))
    for claim in claims[1:]:
        queue.complete(failure(claim))
    acting.cancel_batch(queue, batch.batch_id, actor=ACTOR)
    document = told("retry", "letters", "--reason", "model was replaced")
    assert (document["matched"], document["changed"], document["refused"]) == (4, 4, [])
    assert set(Job.objects.values_list("status", flat=True)) == {"NEW", "SUCCEEDED", "CANCELLED"}
    assert JobStatus.CANCELLED not in RETRIED
    with pytest.raises(ValueError, match="did not succeed"):
        retry_batch(queue, batch.batch_id, actor=ACTOR, statuses=[JobStatus.SUCCEEDED])


def test_what_cannot_be_retried_is_told_with_why(queue: JobQueue) -> None:
    batch_id = queue.open_batch(BatchInput(name="letters"), actor=ACTOR).batch_id
    queue.enqueue(a_job(dedupe_key="a"), batch_id=batch_id)
    queue.complete(failure(claim_one(queue)))
    holder = queue.enqueue(a_job(dedupe_key="a"))
    document = told("retry", "letters", "--reason", "x", code=1)
    assert document["refused"] == [{"why": f"job {holder.job_id} holds its dedupe key", "jobs": 1}]


def test_the_priority_of_what_is_unfinished_is_set(queue: JobQueue) -> None:
    a_batch(queue, 3)
    done = claim_one(queue)
    queue.complete(success(done))
    assert told("priority", "letters", "500", "--reason", "urgent")["changed"] == 2
    assert sorted(Job.objects.values_list("priority", flat=True)) == [100, 500, 500]


def test_a_budget_is_set_and_removed(queue: JobQueue) -> None:
    a_batch(queue, 1)
    told("budget", "letters", "--tokens", "1000", "--model-seconds", "60", "--reason", "agreed")
    assert told("show", "letters")["budget"] == {"tokens": 1000, "model_seconds": 60}
    told("budget", "letters", "--tokens", "none", "--reason", "agreed")
    assert told("show", "letters")["budget"] == {"tokens": None, "model_seconds": 60}
    assert ran("batches", "budget", "letters", "--reason", "x")[0] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("pause", "letters"),
        ("cancel", "letters"),
        ("priority", "letters", "-1", "--reason", "x"),
        ("priority", "letters", "many", "--reason", "x"),
        ("budget", "letters", "--tokens", "0", "--reason", "x"),
        ("stop", "letters"),
        ("--limit", "x"),
    ],
)
def test_what_cannot_be_meant_is_refused(queue: JobQueue, arguments: tuple[str, ...]) -> None:
    a_batch(queue, 1)
    with pytest.raises(CommandError):
        call_command("batches", *arguments)
    assert Batch.objects.get().paused_utc is None


@pytest.mark.parametrize("name", ["nothing", "00000000-0000-0000-0000-000000000000", "", "' OR 1=1"])
def test_a_batch_that_is_not_there_is_told(queue: JobQueue, name: str) -> None:
    code, _out, err = ran("batches", "show", name)
    assert code == 2
    assert "no batch" in err


def test_a_batch_is_watched_until_it_has_ended_and_told_of_when_it_changed(queue: JobQueue) -> None:
    batch = a_batch(queue, 2)
    queue.sweep_batches()
    waits: list[float] = []

    def work(seconds: float) -> None:
        """At every second look one more job has ended."""
        waits.append(seconds)
        if len(waits) % 2 == 0:
            queue.complete(success(claim_one(queue)))
        with connection.cursor() as cursor:
            cursor.execute("UPDATE llm.batch SET counted_utc = NULL")
        queue.sweep_batches()

    documents = list(watched(batch.batch_id, sleep=work))
    assert [(one["ended"], one["left"]) for one in documents] == [(0, 2), (1, 1), (2, 0)]
    assert set(waits) == {WATCH_SECONDS}
    assert "0 %, 2 left" in line_of(documents[0])
    code, out, _err = ran("batches", "watch", "letters")
    assert (code, "100 %, 0 left" in out) == (0, True)
    assert json.loads(ran("batches", "watch", "letters", "--json")[1])["left"] == 0
