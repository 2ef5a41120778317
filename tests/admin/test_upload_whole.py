"""An upload is queued as a whole or not at all, whatever breaks, and never twice."""

import shutil
import sys
from functools import partial
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from derive.errors import CommitUnanswered, DatabaseUnavailable
from derive.intake import spool
from derive.intake import upload as kept_upload
from derive.models import Job, JobEvent
from derive.queue import JobQueue
from derive.sql import calls as calls_module
from derive.sql import payloads
from tests.admin.uploads import jsonl, page, queue_all, row, send, token_of
from tests.contract.scenes import at_once, queued, ref

pytestmark = pytest.mark.usefixtures("uploads")


def test_a_request_that_was_killed_after_its_commit_is_repeated_with_the_same_result(
    operator: Client, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even though the keys that kept some lines out are free again by then."""
    holder = queued(queue, dedupe_key="held")
    keys = ["k1", "k1", "held", None, None]
    token = token_of(send(operator, jsonl(*(row(n, dedupe_key=key) for n, key in enumerate(keys)))))
    with monkeypatch.context() as patch:
        killed_after_the_commit(patch)
        with pytest.raises(SystemExit):
            queue_all(operator, token)
    jobs = set(Job.objects.values_list("job_id", flat=True))
    assert len(jobs) == 4
    queue.cancel([ref(holder), *(ref(one) for one in Job.objects.filter(dedupe_key="k1"))], actor="ada")
    events = JobEvent.objects.count()
    assert "Queue all 5" in page(operator, token).text
    assert token_of(queue_all(operator, token, reason="another")) == token
    state = page(operator, token).context["state"]
    assert (state.queued, state.duplicates, state.reason) == (3, 2, "asked for")
    assert [one.dedupe_key for one in state.held] == ["k1", "held"]
    assert set(Job.objects.values_list("job_id", flat=True)) == jobs
    assert JobEvent.objects.count() == events


def killed_after_the_commit(patch: pytest.MonkeyPatch) -> None:
    real = JobQueue.enqueue_whole

    def committed(*arguments: Any, **more: Any) -> None:
        real(*arguments, **more)
        sys.exit("killed")

    patch.setattr(JobQueue, "enqueue_whole", committed)


def test_a_request_that_was_killed_before_its_commit_is_repeated_from_the_beginning(
    operator: Client, in_batches: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = kept_upload.Upload._keep

    def killed(*arguments: Any) -> None:
        real(*arguments)
        sys.exit("killed")

    with monkeypatch.context() as patch:
        patch.setattr(kept_upload.Upload, "_keep", killed)
        with pytest.raises(SystemExit):
            queue_all(operator, in_batches)
    assert not Job.objects.exists()
    queue_all(operator, in_batches)
    assert (Job.objects.count(), page(operator, in_batches).context["state"].queued) == (6, 6)


def test_a_job_that_brings_its_own_id_proves_nothing(
    operator: Client, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there before: a try that was undone is not taken for done because of it."""
    there = queued(queue)
    token = token_of(send(operator, jsonl(row(1, job_id=str(there.job_id)), row(2))))
    real = kept_upload.Upload._keep

    def undone(*arguments: Any) -> None:
        real(*arguments)
        raise DatabaseUnavailable("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(kept_upload.Upload, "_keep", undone)
        assert "Nothing was queued" in queue_all(operator, token).text
    queue_all(operator, token)
    assert set(Job.objects.values_list("entity_id", flat=True)) >= {"p2"}


def nothing_is_queued_and_the_page_says_so(client: Client, answer: Any) -> None:
    assert answer.status_code == 503
    assert "Nothing was queued" in answer.text
    assert "Queue all 6" in answer.text
    assert "asked for" in answer.text, "the reason has to be written again"
    assert not Job.objects.exists()
    assert not JobEvent.objects.exists()
    # No key stayed taken, and the same upload goes in as if nothing had been.
    token = answer.context["asked"].token
    queue_all(client, token)
    state = page(client, token).context["state"]
    assert (state.queued, state.duplicates, Job.objects.count(), JobEvent.objects.count()) == (6, 0, 6, 6)


@pytest.fixture
def in_batches(operator: Client, monkeypatch: pytest.MonkeyPatch) -> str:
    """An upload that is checked and goes to the database in three batches."""
    monkeypatch.setattr(spool, "BATCH_JOBS", 2)
    return token_of(send(operator, jsonl(*(row(n, dedupe_key=f"k{n}") for n in range(6)))))


def test_a_last_batch_that_is_refused_leaves_nothing_of_the_file(
    operator: Client, in_batches: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        real, told = payloads.jobs_json, []

        def spoilt_at_the_third(jobs: Any, **more: Any) -> str:
            told.append(jobs)
            return '[{"n": 99}]' if len(told) == 3 else real(jobs, **more)

        patch.setattr(payloads, "jobs_json", spoilt_at_the_third)
        broken = queue_all(operator, in_batches)
        assert "interrogation_key is missing" in broken.text
    nothing_is_queued_and_the_page_says_so(operator, broken)


def test_a_database_that_goes_away_in_the_middle_leaves_nothing_of_the_file(
    operator: Client, in_batches: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server ends the session after the first batch, as often as it is tried."""
    with monkeypatch.context() as patch:
        real, sent = calls_module._send, []

        def cut_at_the_third(*arguments: Any) -> Any:
            sent.append(arguments)
            if len(sent) >= 3:
                at_once(partial(end_session, session_id()))
            return real(*arguments)

        patch.setattr(calls_module, "_send", cut_at_the_third)
        broken = queue_all(operator, in_batches)
        assert len(sent) >= 4
    nothing_is_queued_and_the_page_says_so(operator, broken)


def test_a_session_that_is_ended_once_is_not_even_noticed(
    operator: Client, in_batches: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, sent = calls_module._send, []

    def cut_at_the_third(*arguments: Any) -> Any:
        sent.append(arguments)
        if len(sent) == 3:
            at_once(partial(end_session, session_id()))
        return real(*arguments)

    monkeypatch.setattr(calls_module, "_send", cut_at_the_third)
    assert token_of(queue_all(operator, in_batches)) == in_batches
    assert len(sent) == 7, "one call more than it takes"
    assert (Job.objects.count(), JobEvent.objects.count()) == (6, 6)


def session_id() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@SPID" if connection.vendor == "microsoft" else "SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def end_session(session: int) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "microsoft":
            cursor.execute(f"KILL {session}")
        else:
            cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [session])


def test_when_the_commit_was_not_answered_the_page_promises_neither(
    operator: Client, in_batches: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unanswered(*_: Any, **__: Any) -> Any:
        raise CommitUnanswered("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(JobQueue, "enqueue_whole", unanswered)
        answer = queue_all(operator, in_batches)
    assert answer.status_code == 503
    assert "Either all of the file was queued or nothing" in answer.text
    assert "Nothing was queued" not in answer.text


def test_a_state_that_cannot_be_written_queues_nothing(
    operator: Client, in_batches: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(kept_upload.Upload, "_write", full)
        answer = queue_all(operator, in_batches)
    assert (answer.status_code, "No space left" in answer.text) == (503, True)
    assert not Job.objects.exists()
    queue_all(operator, in_batches)
    assert (Job.objects.count(), page(operator, in_batches).context["state"].queued) == (6, 6)


def test_what_was_discarded_a_moment_ago_is_reported(
    operator: Client, in_batches: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = kept_upload.Upload.locked

    def discarded_before(self: kept_upload.Upload) -> Any:
        shutil.rmtree(self.folder)
        return real(self)

    monkeypatch.setattr(kept_upload.Upload, "locked", discarded_before)
    answer = queue_all(operator, in_batches)
    assert (answer.status_code, "no longer kept" in answer.text) == (409, True)
    assert not Job.objects.exists()
