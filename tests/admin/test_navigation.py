"""The sidebar, its tabs, and the command palette: what a user may see, and nothing else."""

from typing import Any

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from derive.admin.jobs import palette
from derive.admin.site.navigation import GROUPS
from derive.queue import JobQueue
from tests.admin.conftest import HOSTILE, Browse
from tests.contract.scenes import claim_one, queued

MAX_QUERIES = 8
PALETTE = "admin:derive_palette"


def entries(client: Client, address: str = "admin:index") -> list[dict[str, Any]]:
    page = client.get(reverse(address))
    return [item for group in page.context["sidebar_navigation"] for item in group["items"]]


def found(client: Client, term: str) -> list[tuple[str, str]]:
    return [(one["title"], one["link"]) for one in client.get(reverse(PALETTE), {"q": term}).json()["found"]]


def test_every_list_is_a_page_of_the_sidebar() -> None:
    names = {page.name for _title, entries in GROUPS for entry in entries for page in entry.pages}
    lists = {f"{kind._meta.app_label}_{kind._meta.model_name}_changelist" for kind in admin.site._registry}
    assert lists <= names, lists - names


def test_the_sidebar_and_the_palette_show_what_a_user_may_see(browse_rolled_back: Browse) -> None:
    shown = {}
    for who in ("viewer", "operator", "maintainer"):
        client = browse_rolled_back(who)
        shown[who] = {item["title"] for item in entries(client)}
        pages = found(client, "")
        assert {link for _title, link in pages} == {tab["link"] for item in entries(client) for tab in item["tabs"]}
        for _title, link in pages:
            assert client.get(link).status_code == 200, (who, link)
    assert not {"Enqueue", "Upload", "Purge", "Users"} & shown["viewer"]
    assert {"Enqueue", "Upload"} <= shown["operator"]
    assert "Purge" in shown["maintainer"]


def test_the_page_that_is_open_is_marked_in_the_sidebar_and_among_its_tabs(browse_rolled_back: Browse) -> None:
    client = browse_rolled_back("maintainer")
    for address, entry, tab in (
        ("admin:index", "Overview", "Overview"),
        ("admin:derive_job_changelist", "All jobs", "Jobs"),
        ("admin:derive_job_act_enqueue", "Enqueue", "Enqueue"),
        ("admin:derive_factreview_agreement", "Review", "Agreement"),
        ("admin:derive_retrypolicy_add", "Automation", "Retry policies"),
        ("admin:derive_seal_changelist", "Audit", "Seals"),
    ):
        (active,) = [item for item in entries(client, address) if item["active"]]
        assert (active["title"], [one["title"] for one in active["tabs"] if one["active"]]) == (entry, [tab])
    assert 'aria-label="Automation"' in client.get(reverse("admin:derive_retrypolicy_add")).text


def test_the_palette_finds_pages_by_a_part_of_their_title(browse_rolled_back: Browse) -> None:
    client = browse_rolled_back("maintainer")
    assert found(client, "RETRY pol") == [("Retry policies", reverse("admin:derive_retrypolicy_changelist"))]
    assert len(found(client, "automation")) == 6
    assert found(browse_rolled_back("viewer"), "enqueue") == []


def test_the_palette_finds_jobs_and_entities_by_their_exact_ids(browse: Browse, queue: JobQueue) -> None:
    job = queued(queue, entity_id="Luke")
    run = claim_one(queue)
    client, page = browse("viewer"), reverse("admin:derive_job_change", args=(job.job_id,))
    for term in (str(job.job_id), str(run.run_id)):
        assert found(client, f" {term} ") == [("Luke", page)]
    assert found(client, "Luke") == [("Luke", f"{reverse('admin:derive_fact_entity')}?entity=Luke"), ("Luke", page)]
    with CaptureQueriesContext(connection) as queries:
        found(client, str(run.run_id))
    assert len(queries) <= MAX_QUERIES, [query["sql"][:120] for query in queries]


def test_the_palette_shows_some_jobs_and_leads_to_all(
    browse: Browse, queue: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(palette, "MAX_JOBS", 2)
    for _job in range(3):
        queued(queue, entity_id="luke")
    titles = [title for title, _link in found(browse("viewer"), "luke")]
    assert titles == ["luke", "luke", "luke", "All jobs of luke"]


def test_the_palette_is_for_those_who_may_see(browse: Browse, queue: JobQueue) -> None:
    queued(queue, entity_id=HOSTILE[:90])
    assert browse("nobody").get(reverse(PALETTE), {"q": "x"}).status_code in {302, 403}
    for term in (HOSTILE[:90], "\x00", "x" * 5_000, "%", "' OR 1=1 --"):
        answer = browse("viewer").get(reverse(PALETTE), {"q": term})
        assert answer.status_code == 200
        assert answer["Content-Type"] == "application/json"
        assert "\u202e" not in answer.text
