"""What a row of the list of jobs says, and what people choose of it."""

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from derive.admin.jobs.list_preferences import COLUMNS, COOKIE
from derive.contracts import RunFacts
from derive.errors import ErrorKind
from derive.queue import JobQueue
from tests.admin.conftest import Browse
from tests.admin.facts_scene import three_facts
from tests.contract.scenes import claim_one, failure, queued, success

LIST, CHOOSE = "admin:derive_job_changelist", "admin:derive_job_display"
ERROR = "the server went away " * 40
MAX_QUERIES = 12


@pytest.fixture
def jobs(queue: JobQueue) -> None:
    """One that gave up, one that succeeded, one that runs and one that waits."""
    queued(queue, entity_id="failed", max_attempts=1)
    queue.complete(failure(claim_one(queue), error=ERROR, retry_after_seconds=0))
    queued(queue, entity_id="succeeded")
    queue.complete(success(claim_one(queue), run=RunFacts(model_name="tiny"), facts=three_facts()))
    queued(queue, entity_id="running")
    claim_one(queue)
    queued(queue, entity_id="ready", model_hint="big")


def rows(client: Client) -> dict[str, str]:
    """Each row's HTML by its entity."""
    page = client.get(reverse(LIST)).text
    found = page.partition("<tbody>")[2].partition("</tbody>")[0].split("<tr>")[1:]
    return {name: row for row in found for name in ("failed", "succeeded", "running", "ready") if f">{name}<" in row}


def test_a_row_says_what_came_of_its_job(browse: Browse, jobs: None) -> None:
    found = rows(browse("operator"))
    assert "<code>model_crashed</code>" in found["failed"]
    assert "the server went away the server" in found["failed"]
    assert ERROR.strip() not in found["failed"]
    assert "3 facts" in found["succeeded"]
    assert found["succeeded"].count('class="hc-fact"') == 2
    assert "<bdi>tiny</bdi>" in found["succeeded"]
    assert "on <bdi>worker-1</bdi> for" in found["running"]
    assert "ready for" in found["ready"]
    assert "<bdi>big</bdi>" in found["ready"]


def test_an_error_is_for_those_who_may_see_payloads(browse: Browse, jobs: None) -> None:
    found = rows(browse("viewer"))["failed"]
    assert "<code>model_crashed</code>" in found
    assert "went away" not in found


def test_the_columns_come_in_the_order_they_are_read(browse: Browse, jobs: None) -> None:
    heads = browse("operator").get(reverse(LIST)).text.partition("<thead>")[2].partition("</thead>")[0]
    places = [heads.index(f">{name}<") for name in ("State", "Job", "Error or answer", "Age", "Model", "Attempts")]
    assert places == sorted(places)


def test_a_page_of_answers_takes_few_queries(browse: Browse, jobs: None) -> None:
    client = browse("operator")
    with CaptureQueriesContext(connection) as queries:
        client.get(reverse(LIST))
    assert len(queries) <= MAX_QUERIES


def choose(client: Client, **form: Any) -> Any:
    return client.post(reverse(CHOOSE), form)


def test_what_was_chosen_stays_and_leads_back_to_the_filter(browse: Browse, jobs: None) -> None:
    client = browse("viewer")
    answer = choose(client, column=list(COLUMNS), density="compact", filter="status=NEW&older=5&x=y")
    assert answer["Location"] == f"{reverse(LIST)}?status=NEW"
    assert answer.cookies[COOKIE]["httponly"]
    page = client.get(reverse(LIST)).text
    assert all(f'data-label="{title}"' in page for title in COLUMNS.values())
    assert "hc-compact" in page
    assert "data-row-keys" not in page
    choose(client, keys="on", density="roomy")
    page = client.get(reverse(LIST)).text
    assert not any(f'data-label="{title}"' in page for title in COLUMNS.values())
    assert "hc-compact" not in page
    assert "data-row-keys" in page


@pytest.mark.parametrize("cookie", ["", "....", "compact.nonsense.<script>", "priority." * 500, "\u00e9"])
def test_a_crafted_cookie_is_no_choice(browse: Browse, jobs: None, cookie: str) -> None:
    client = browse("viewer")
    client.cookies[COOKIE] = cookie
    page = client.get(reverse(LIST))
    assert page.status_code == 200
    assert "<script>." not in page.text


def test_a_choice_is_made_by_a_form_alone(browse: Browse) -> None:
    assert browse("viewer").get(reverse(CHOOSE)).status_code == 405
    assert choose(browse("nobody")).status_code == 403


def test_jobs_whose_model_is_missing_come_with_the_command_that_gets_it(browse: Browse, queue: JobQueue) -> None:
    for model in ("qwen3:8b", "qwen3:8b", None):
        queued(queue, model_hint=model, max_attempts=1)
        queue.complete(failure(claim_one(queue, model="qwen3:8b"), error_kind=ErrorKind.MODEL_NOT_FOUND))
    client = browse("viewer")
    page = client.get(reverse(LIST), {"error_kind": "model_not_found"})
    assert page.context["commands"] == ["ollama pull qwen3:8b"]
    assert "data-copy" in page.text
    assert client.get(reverse(LIST)).context["commands"] == []
