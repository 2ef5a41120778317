"""The live parts of the job pages: what a poll costs, when it says that nothing changed, and the place in the queue."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from derive.admin.jobs import live
from derive.admin.jobs.live import QueuePlace, place_of
from derive.contracts import RunFacts
from derive.lake import Lake
from derive.models import Job
from derive.queue import JobQueue
from derive.states import JobStatus
from tests.admin.conftest import Browse
from tests.admin.facts_scene import three_facts
from tests.contract.scenes import ACTOR, a_job, claim_one, failure, in_state, queued, ref, success

LIST = "admin:derive_job_list_live"
AUTHENTICATING = 4
"""Statements that know the user: session, user, and their rights by user and by group."""
MAX_STATEMENTS = 6
UNKNOWN = "No job has ended in the last 5 minutes, so its start is unknown: is a worker running?"


@pytest.fixture
def lake(settings: LazySettings, tmp_path: Path) -> Lake:
    settings.LAKE_URL = str(tmp_path)
    return Lake.open(settings.LAKE_URL)


def address_of(job: Any) -> str:
    return reverse("admin:derive_job_page_live", args=[job.job_id])


def poll(client: Client, address: str, tag: str = "") -> tuple[Any, int]:
    """Ask as the page does; return the answer and how many statements it took beyond knowing the user."""
    with CaptureQueriesContext(connection) as asked:
        answer = client.get(address, headers={"If-None-Match": tag} if tag else {})
    return answer, len(asked) - AUTHENTICATING


def test_a_poll_of_the_list_is_304_until_a_job_moves(browse: Browse, queue: JobQueue) -> None:
    for status in JobStatus:
        in_state(queue, status)
    queue.complete(success(claim_one(queue), run=RunFacts(model_name="tiny"), facts=three_facts()))
    client, address = browse("viewer"), reverse(LIST)
    first, statements = poll(client, address)
    assert (first.status_code, statements <= MAX_STATEMENTS) == (200, True)
    assert first.text.count('data-label="Job"') == Job.objects.filter(parent_job_id=None).count()
    assert "<html" not in first.text
    again, statements = poll(client, address, first["ETag"])
    assert (again.status_code, again.content, statements) == (304, b"", 1)
    job = queued(queue, entity_id="a-new-one")
    for act in (
        lambda: None,
        lambda: queue.reprioritize([ref(job)], actor=ACTOR, priority=9),
        lambda: queue.set_hold([ref(job)], actor=ACTOR, hold=True),
        lambda: queue.cancel([ref(job)], actor=ACTOR),
    ):
        act()
        moved, _statements = poll(client, address, again["ETag"])
        assert moved.status_code == 200
        assert "a-new-one" in moved.text
        again = moved


def test_a_poll_of_the_list_keeps_its_filter_and_other_choices_are_another_answer(
    browse: Browse, queue: JobQueue
) -> None:
    queued(queue, entity_id="ready")
    in_state(queue, JobStatus.CANCELLED, entity_id="ended")
    client = browse("viewer")
    page = client.get(reverse("admin:derive_job_changelist"), {"status": "NEW", "nonsense": "1"})
    assert f'data-address="{reverse(LIST)}?status=NEW"' in page.text
    answer, _statements = poll(client, f"{reverse(LIST)}?status=NEW")
    assert "ready" in answer.text
    assert ">ended<" not in answer.text
    client.cookies["holocron_jobs"] = "priority"
    assert poll(client, f"{reverse(LIST)}?status=NEW", answer["ETag"])[0].status_code == 200


def test_only_the_first_page_is_live(browse: Browse, queue: JobQueue) -> None:
    queued(queue)
    client, jobs = browse("viewer"), reverse("admin:derive_job_changelist")
    assert 'data-live="auto"' in client.get(jobs).text
    assert 'data-live="auto"' not in client.get(jobs, {"older": "9999"}).text


def test_an_event_that_is_committed_late_is_seen(queue: JobQueue) -> None:
    """Its number is lower than one that was seen: the newest alone would not tell. Here one is taken away instead."""
    for _ in range(3):
        queued(queue)
    before = live.queue_version()
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM llm.job_event WHERE event_seq = (SELECT MAX(event_seq) - 1 FROM llm.job_event)")
    assert live.queue_version() != before


def test_a_poll_of_a_job_is_304_until_it_moves_and_says_when_it_is_over(browse: Browse, queue: JobQueue) -> None:
    job = queued(queue, max_attempts=1)
    client, address = browse("operator"), address_of(job)
    first, statements = poll(client, address)
    assert (first.status_code, statements <= MAX_STATEMENTS) == (200, True)
    assert "Next in the queue" in first.text
    assert 'data-part="timeline"' in first.text
    assert 'data-part="payloads"' not in first.text
    again, statements = poll(client, address, first["ETag"])
    assert (again.status_code, again.content, statements <= MAX_STATEMENTS) == (304, b"", True)
    claim = claim_one(queue)
    running, _statements = poll(client, address, first["ETag"])
    assert running.status_code == 200
    assert "RUNNING" in running.text
    assert "in the queue" not in running.text
    queue.heartbeat("worker-1", [claim.run_id])
    assert poll(client, address, running["ETag"])[0].status_code == 304
    queue.complete(failure(claim, retry_after_seconds=0))
    ended, _statements = poll(client, address, running["ETag"])
    assert (ended.status_code, ended["X-Live"]) == (200, "over")
    assert "X-Live" not in running
    assert 'data-live="auto"' not in client.get(reverse("admin:derive_job_change", args=[job.job_id])).text


def test_an_error_in_a_live_part_is_for_those_who_may_see_payloads(browse: Browse, queue: JobQueue) -> None:
    job = queued(queue)
    queue.complete(failure(claim_one(queue), error="the secret answer"))
    assert "the secret answer" in poll(browse("operator"), address_of(job))[0].text
    assert "the secret answer" not in poll(browse("viewer"), address_of(job))[0].text


def written_by_ollama(text: str) -> bytes:
    return json.dumps({"model": "tiny", "message": {"role": "assistant", "content": text}, "done": False}).encode()


def written_by_openai(text: str) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}).encode()


@pytest.mark.parametrize(
    ("name", "line_of"), [("response.ndjson", written_by_ollama), ("response.sse", written_by_openai)]
)
def test_a_running_jobs_page_shows_the_answer_as_it_is_written_to_those_who_may_see_it(
    browse: Browse, queue: JobQueue, lake: Lake, name: str, line_of: Callable[[str], bytes]
) -> None:
    job = queued(queue)
    address, claim = address_of(job), claim_one(queue)
    client, viewer = browse("operator"), browse("viewer")
    before, _statements = poll(client, address)
    assert "Answer so far" not in before.text
    with lake.spool(Lake.run_folder(claim.started_utc, claim.run_id), name) as spool:
        spool.write(line_of("<b>Tala") + b"\n" + line_of(" Venn\u202e") + b"\n" + line_of("not whole")[:-3])
        begun, statements = poll(client, address, before["ETag"])
        assert (begun.status_code, statements <= MAX_STATEMENTS) == (200, True)
        assert "&lt;b&gt;Tala Venn⟨U+202E⟩</pre>" in begun.text
        assert poll(client, address, begun["ETag"])[0].status_code == 304
        spool.write(line_of("not whole")[-3:] + b"\n")
        assert "⟨U+202E⟩not whole</pre>" in poll(client, address, begun["ETag"])[0].text
        spool.write(b"".join(line_of(f"{n:04}") + b"\n" for n in range(5_000)))
        long = poll(client, address, begun["ETag"])[0].text
        assert "only the end is shown" in long
        assert "499749984999</pre>" in long
        assert "Tala" not in long
        assert "4999" not in poll(viewer, address)[0].text
    queue.complete(failure(claim))
    assert "Answer so far" not in poll(client, address)[0].text


@pytest.mark.parametrize(("who", "status"), [("nobody", 403), ("viewer", 200)])
def test_live_parts_are_for_those_who_may_see_jobs(browse: Browse, queue: JobQueue, who: str, status: int) -> None:
    job = queued(queue)
    for address in (reverse(LIST), address_of(job)):
        assert browse(who).get(address).status_code == status


def test_the_place_in_the_queue_is_the_claims_order(queue: JobQueue, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [queued(queue, priority=priority) for priority in (100, 200, 100, 300)]
    places = {job.job_id: place_of(Job.objects.get(job_id=job.job_id)) for job in jobs}
    assert [place.ahead if place else None for place in places.values()] == [2, 1, 3, 0]
    assert [claim_one(queue).job_id for _ in jobs] == [jobs[n].job_id for n in (3, 1, 0, 2)]
    assert place_of(Job.objects.get(job_id=jobs[0].job_id)) is None
    monkeypatch.setattr(live, "MAX_PLACE", 2)
    queue.enqueue_many([a_job() for _ in range(4)], actor=ACTOR)
    last = place_of(Job.objects.order_by("-job_seq")[0])
    assert last is not None
    assert last.ahead is None


@pytest.mark.parametrize(
    ("place", "words"),
    [
        (QueuePlace(0, 0.0), "Next in the queue."),
        (QueuePlace(1, 12.0), "1 job ahead in the queue; expected to start in about 12 s."),
        (QueuePlace(250, 250.0), "250 jobs ahead in the queue; expected to start in about 4 min 10 s."),
        (QueuePlace(None, 3_600.0), "More than 1,000 jobs are ahead in the queue; expected to start in more than 1 h."),
        (
            QueuePlace(3, None),
            f"3 jobs ahead in the queue. {UNKNOWN}",
        ),
    ],
)
def test_a_place_is_said_in_words(place: QueuePlace, words: str) -> None:
    assert place.in_words == words
