"""Batches in the admin: the list, a batch's page, and the form that changes one."""

from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from derive.batch_contracts import BatchInput, FollowUp
from derive.models import Batch, BatchEvent, Job
from derive.queue import JobQueue
from derive.states import JobStatus
from tests.admin.conftest import HOSTILE, Browse
from tests.contract.scenes import ACTOR, WORKER, a_job, claim_one, failure, success

LIST = "admin:derive_batch_changelist"


def a_batch(queue: JobQueue, amount: int = 3, name: str = "letters", **values: Any) -> UUID:
    batch_id = queue.open_batch(BatchInput(name=name, **values), actor=ACTOR).batch_id
    queue.enqueue_many([a_job() for _ in range(amount)], actor=ACTOR, batch_id=batch_id)
    queue.fill_batch(batch_id, actor=ACTOR)
    queue.sweep_batches()
    return batch_id


def text_of(client: Client, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def page(batch_id: UUID) -> str:
    return reverse("admin:derive_batch_change", args=[batch_id])


def act(client: Client, batch_id: UUID, **values: Any) -> Any:
    return client.post(reverse("admin:derive_batch_act", args=[batch_id]), {"reason": "because", **values})


def test_an_empty_list_says_how_to_make_a_batch(operator: Client) -> None:
    assert "--batch NAME" in text_of(operator, reverse(LIST))


def test_the_list_shows_what_became_of_each_batch(operator: Client, queue: JobQueue) -> None:
    a_batch(queue, name="numbers")
    batch_id = a_batch(queue)
    queue.complete(failure(claim_one(queue)))
    text = text_of(operator, reverse(LIST))
    assert text.index("letters") < text.index("numbers")
    assert page(batch_id) in text
    assert "numbers" not in text_of(operator, f"{reverse(LIST)}?name=letters").split("</table>")[0].split("<tbody>")[1]


def test_a_page_shows_progress_failures_cost_and_history(operator: Client, queue: JobQueue) -> None:
    batch_id = a_batch(queue, 4, budget_tokens=777, on_finish=FollowUp(jobs=(a_job(entity_id="after"),)))
    claims = queue.claim(WORKER, max_jobs=2)
    queue.complete(success(claims[0]))
    queue.complete(failure(claims[1]))
    let_it_be_counted_again(batch_id)
    queue.sweep_batches()
    text = text_of(operator, page(batch_id))
    for part in ("50 %", "2 left", "not known yet", "model_crashed", "777", "batch_created", "batch_filled"):
        assert part in text, part
    assert f"?batch={batch_id}&amp;status=FAILED" in text
    assert "after" in text


def let_it_be_counted_again(batch_id: UUID) -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE llm.batch SET counted_utc = NULL WHERE batch_id = %s", [str(batch_id)])


def test_what_follows_is_for_those_who_may_see_payloads(browse: Browse, queue: JobQueue) -> None:
    batch_id = a_batch(queue, on_finish=FollowUp(jobs=(a_job(entity_id="tala-venn"),)))
    assert "tala-venn" in text_of(browse("operator"), page(batch_id))
    assert "tala-venn" not in text_of(browse("viewer"), page(batch_id))


def test_the_live_parts_are_sent_only_when_they_changed(operator: Client, queue: JobQueue) -> None:
    batch_id = a_batch(queue, 1)
    address = reverse("admin:derive_batch_live", args=[batch_id])
    assert address in text_of(operator, page(batch_id))
    first = operator.get(address)
    assert 'data-part="progress"' in first.content.decode()
    assert "<html" not in first.content.decode()
    assert operator.get(address, headers={"if-none-match": first["ETag"]}).status_code == 304
    queue.complete(success(claim_one(queue)))
    queue.sweep_batches()
    last = operator.get(address, headers={"if-none-match": first["ETag"]})
    assert (last.status_code, last["X-Live"]) == (200, "over")


def test_a_page_takes_the_same_few_queries_whatever_the_batch_holds(operator: Client, queue: JobQueue) -> None:
    counts = []
    for amount in (1, 200):
        batch_id = a_batch(queue, amount, name=f"of {amount}")
        with CaptureQueriesContext(connection) as queries:
            operator.get(page(batch_id))
        counts.append(len(queries))
        assert not any('"llm"."job"' in query["sql"] for query in queries), "jobs are not counted for a page"
    assert counts[0] == counts[1]


def test_hostile_names_are_shown_as_text(operator: Client, queue: JobQueue) -> None:
    batch_id = a_batch(queue, name=HOSTILE)
    queue.pause_batch(batch_id, actor=HOSTILE, reason=HOSTILE)
    for address in (reverse(LIST), page(batch_id), reverse("admin:derive_batch_act", args=[batch_id])):
        text = text_of(operator, address)
        assert "<script>alert(1)" not in text
        assert "&lt;script&gt;" in text


def test_a_batch_is_paused_and_resumed_with_a_reason(operator: Client, queue: JobQueue) -> None:
    batch_id = a_batch(queue)
    assert act(operator, batch_id, action="pause").status_code == 302
    assert queue.claim(WORKER) == []
    assert "because" in text_of(operator, page(batch_id))
    assert BatchEvent.objects.get(event="batch_paused").reason == "because"
    act(operator, batch_id, action="resume")
    assert len(queue.claim(WORKER, max_jobs=9)) == 3


def test_jobs_are_retried_raised_and_cancelled(operator: Client, queue: JobQueue) -> None:
    batch_id = a_batch(queue)
    queue.complete(failure(claim_one(queue)))
    act(operator, batch_id, action="retry")
    assert Job.objects.filter(status=JobStatus.NEW).count() == 3
    act(operator, batch_id, action="priority", priority="700")
    assert set(Job.objects.values_list("priority", flat=True)) == {700}
    answer = operator.post(
        reverse("admin:derive_batch_act", args=[batch_id]), {"reason": "because", "action": "cancel"}, follow=True
    )
    assert "3 jobs changed." in answer.content.decode()
    assert set(Job.objects.values_list("status", flat=True)) == {"CANCELLED"}


def test_budgets_are_set_and_removed(operator: Client, queue: JobQueue) -> None:
    batch_id = a_batch(queue)
    act(operator, batch_id, action="budget", budget_tokens="500", budget_model_seconds="60")
    batch = Batch.objects.get()
    assert (batch.budget_tokens, batch.budget_model_seconds) == (500, 60)
    act(operator, batch_id, action="budget", budget_tokens="")
    batch = Batch.objects.get()
    assert (batch.budget_tokens, batch.budget_model_seconds) == (None, None)


@pytest.mark.parametrize(
    "values",
    [
        {"action": "pause", "reason": ""},
        {"action": "stop"},
        {"action": "priority"},
        {"action": "priority", "priority": "-1"},
        {"action": "budget", "budget_tokens": "0"},
        {"action": "pause", "reason": "\u0000"},
        {},
    ],
)
def test_a_form_that_cannot_be_meant_changes_nothing(operator: Client, queue: JobQueue, values: dict[str, str]) -> None:
    batch_id = a_batch(queue)
    assert act(operator, batch_id, **values).status_code == 400
    assert not BatchEvent.objects.exclude(event__in=["batch_created", "batch_filled"]).exists()


def test_a_viewer_sees_batches_and_changes_none(browse: Browse, queue: JobQueue) -> None:
    batch_id, viewer = a_batch(queue), browse("viewer")
    assert "Change …" not in text_of(viewer, page(batch_id))
    assert act(viewer, batch_id, action="pause").status_code == 403
    assert Batch.objects.get().paused_utc is None


@pytest.mark.parametrize("key", ["00000000-0000-0000-0000-000000000007", "nothing"])
def test_a_batch_that_is_not_there_is_not_found(operator: Client, key: str) -> None:
    assert operator.get(f"/admin/derive/batch/{key}/change/").status_code == 404


def test_the_list_of_jobs_is_filtered_by_batch_and_a_job_leads_to_its_batch(operator: Client, queue: JobQueue) -> None:
    batch_id = a_batch(queue, 1)
    inside, outside = Job.objects.get().job_id, queue.enqueue(a_job()).job_id
    text = text_of(operator, f"{reverse('admin:derive_job_changelist')}?batch={batch_id}")
    assert str(inside) in text
    assert str(outside) not in text
    assert page(batch_id) in text_of(operator, reverse("admin:derive_job_change", args=[inside]))
