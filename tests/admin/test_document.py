"""The page of a long document: everything is there, and every fact is marked at its place."""

from django.urls import reverse

from derive.lake import Lake
from derive.queue import JobQueue
from tests.admin.conftest import Browse
from tests.admin.facts_scene import a_fact, job_page, told
from tests.contract.scenes import ACTOR, a_job

FILLER = "Nothing is known of the cargo. "


def test_a_long_document_is_shown_whole_with_all_facts_marked(browse: Browse, lake: Lake) -> None:
    text = "".join(f"{FILLER * 12}Ship s{number} carries ore.\n\n" for number in range(300))
    facts = tuple(a_fact(number, f"Ship s{number} carries ore", text=text) for number in range(300))
    job_id, _ = told(lake, facts, text=text)
    address = reverse("admin:derive_job_document_payload", args=[job_id])
    assert address in browse("operator").get(job_page(job_id)).text
    page = browse("operator").get(address).text
    assert all(f'id="mark-{number}"' in page and f'href="#mark-{number}"' in page for number in range(300))
    assert page.count(FILLER.strip()) == 300 * 12
    assert "characters left out" not in page


def test_a_job_without_an_answer_has_no_document(browse: Browse) -> None:
    unknown = reverse("admin:derive_job_document_payload", args=["00000000-0000-0000-0000-000000000007"])
    assert "it may have been purged" in browse("operator").get(unknown, follow=True).text
    job_id = JobQueue().enqueue(a_job(), actor=ACTOR).job_id
    waiting = reverse("admin:derive_job_document_payload", args=[job_id])
    told = browse("operator").get(waiting, follow=True)
    assert told.redirect_chain == [(job_page(job_id), 302)]
    assert "This job has no answer yet" in told.text
