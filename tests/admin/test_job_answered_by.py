"""A job's page says which model server answered each run, with which model, and when that changed under its name."""

import pytest
from django.test import Client
from django.urls import reverse

from derive.contracts import RunFacts
from derive.queue import JobQueue
from tests.contract.scenes import ACTOR, claim_one, failure, queued, ref, success

pytestmark = pytest.mark.django_db

GPU = "http://gpu-1:11434"
CHANGED = "the server changed its model"


def runs_shown(queue: JobQueue, operator: Client, *answers: tuple[str, str]) -> str:
    """Let a job be answered by these servers, with models of these digests; return its page."""
    job = queued(queue, max_attempts=1)
    for place, (server, digest) in enumerate(answers, start=1):
        run = RunFacts(model_name="llama3.2", model_tag="latest", model_digest=digest, ollama_base_url=server)
        claim = claim_one(queue)
        queue.complete(success(claim, run=run) if place == len(answers) else failure(claim, run=run))
        if place < len(answers):
            queue.requeue([ref(job)], actor=ACTOR)
    answer = operator.get(reverse("admin:derive_job_change", args=[job.job_id]))
    return " ".join(answer.content.decode().split())


def test_each_run_names_its_server_and_the_digest_of_its_model(queue: JobQueue, operator: Client) -> None:
    page = runs_shown(queue, operator, (GPU, "ab" * 32))
    assert f"answered by {GPU}; digest abababababab" in page
    assert CHANGED not in page


def test_a_model_that_changed_under_its_tag_is_told(queue: JobQueue, operator: Client) -> None:
    page = runs_shown(queue, operator, (GPU, "ab" * 32), (GPU, "cd" * 32))
    assert f"digest cdcdcdcdcdcd, not abababababab as before: {CHANGED}" in page
    assert page.count(CHANGED) == 1


def test_another_servers_model_is_no_change(queue: JobQueue, operator: Client) -> None:
    page = runs_shown(queue, operator, (GPU, "ab" * 32), ("http://gpu-2:11434", "cd" * 32))
    assert CHANGED not in page
