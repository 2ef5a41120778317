"""The lists of batches and workers update themselves: little is read, and nothing is sent while nothing changed."""

from datetime import UTC, datetime

from django.test import Client
from django.urls import reverse

from derive.contracts import WorkerFacts
from derive.queue import JobQueue
from tests.admin.conftest import Browse
from tests.admin.test_batches import a_batch
from tests.admin.test_job_live import MAX_STATEMENTS, poll
from tests.contract.scenes import claim_one, queued, success


def test_the_list_of_batches_sends_its_rows_when_a_count_changed(operator: Client, queue: JobQueue) -> None:
    a_batch(queue, 2)
    address = operator.get(reverse("admin:derive_batch_changelist"), {"name": "letters"}).context["live_from"]
    assert address.endswith("live/?name=letters")
    first, statements = poll(operator, address)
    assert first.status_code == 200
    assert statements <= MAX_STATEMENTS
    assert "letters" in first.text
    assert "<html" not in first.text
    again, statements = poll(operator, address, first["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    assert statements <= MAX_STATEMENTS
    queue.complete(success(claim_one(queue)))
    queue.complete(success(claim_one(queue)))
    queue.sweep_batches()
    assert poll(operator, address, first["ETag"])[0].status_code == 200
    older = operator.get(reverse("admin:derive_batch_changelist"), {"older": "1"})
    assert not older.context["live_from"]


def test_the_list_of_workers_sends_its_table_when_a_worker_changed(operator: Client, queue: JobQueue) -> None:
    facts = WorkerFacts(host="h", pid=7, version="1", started_utc=datetime.now(UTC), concurrency=2)
    queued(queue, entity_id="luke")
    claim = claim_one(queue)
    queue.heartbeat("worker-1", [claim.run_id], facts=facts)
    address = operator.get(reverse("admin:derive_worker_changelist")).context["live_from"]
    first, statements = poll(operator, address)
    assert (first.status_code, statements <= MAX_STATEMENTS) == (200, True)
    assert "luke" in first.text
    again, statements = poll(operator, address, first["ETag"])
    assert (again.status_code, again.content, statements <= MAX_STATEMENTS) == (304, b"", True)
    queue.complete(success(claim))
    assert poll(operator, address, first["ETag"])[0].status_code == 200


def test_what_is_live_is_for_those_who_may_see_it(browse: Browse, queue: JobQueue) -> None:
    for name in ("derive_batch_list_live", "derive_worker_live"):
        assert browse("viewer").get(reverse(f"admin:{name}")).status_code == 200
        assert browse("nobody").get(reverse(f"admin:{name}")).status_code in {302, 403}
