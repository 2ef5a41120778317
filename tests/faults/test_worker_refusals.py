"""A schema that the model server refuses costs one job, and no more until the definition or the server changes."""

from uuid import UUID

import pytest

from derive.admin.dashboard.health_checks import check_interrogations
from derive.models import Interrogation
from derive.worker import refusals
from tests.fake_ollama import behaviours
from tests.faults.worker_world import KEY, World, wait_until

OTHER = "other_v1"


@pytest.fixture
def refusing(world: World, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world with a second interrogation, and a server that refuses the first question it is asked."""
    folder = tmp_path_factory.mktemp("interrogations")
    package = folder / OTHER
    package.mkdir()
    for name in ("prompt.md", "output.py", "rubric.md"):
        source = refusals.__file__.rpartition("/worker/")[0] + f"/interrogations/{KEY}/{name}"
        with open(source, encoding="utf-8") as file:  # noqa: PTH123
            package.joinpath(name).write_text(file.read())
    world.interrogations_folder = folder
    world.fake.next(behaviours.bad_schema())
    monkeypatch.setattr(refusals, "REFRESH_SECONDS", 0.0)
    return world


def refused_and_waiting(world: World) -> tuple[UUID, UUID]:
    """Let a worker meet the refusal and go on with another interrogation's job."""
    refused, waiting = world.enqueue(priority=900), world.enqueue(priority=800)
    other = world.enqueue(interrogation_key=OTHER)
    world.work(runs=2)
    assert world.job(other).status == "SUCCEEDED"
    assert world.runs(waiting) == []
    return refused, waiting


def test_the_job_fails_at_once_and_no_other_of_its_definition_is_claimed(refusing: World) -> None:
    refused, _waiting = refused_and_waiting(refusing)
    job = refusing.job(refused)
    assert (job.status, job.error_kind, job.attempt_count) == ("FAILED", "schema_refused", 1)
    assert "sw_entity_facts_v1" in job.last_error
    assert "invalid JSON schema in format" in job.last_error
    assert "check_interrogations" in job.last_error


def test_another_worker_and_the_dashboard_know_of_it(refusing: World) -> None:
    _refused, waiting = refused_and_waiting(refusing)
    assert refusing.work(once=True).runs == 0
    assert refusing.job(waiting).status == "NEW"
    (part,) = check_interrogations()
    assert not part.ok
    assert "sw_entity_facts_v1" in part.reason
    assert "invalid JSON schema in format" in part.reason


def test_jobs_are_claimed_again_once_the_server_takes_the_schema(refusing: World) -> None:
    _refused, waiting = refused_and_waiting(refusing)
    with refusing.working() as running:
        wait_until(lambda: running.worker._refusals._known, "the worker knows of the refusal")
        stored = Interrogation.objects.get(interrogation_key=KEY)
        assert refusing.queue.set_schema_refusal(stored.definition_sha256, why=None)
        refusing.wait_for(waiting, "SUCCEEDED")
    assert check_interrogations() == ()


def test_a_new_version_of_a_refused_definition_is_not_refused(refusing: World) -> None:
    refused_and_waiting(refusing)
    old = Interrogation.objects.get(interrogation_key=KEY)
    refusing.queue.register(
        definition_sha256="ab" * 32,
        interrogation_key=KEY,
        version="99.0.0",
        prompt_template=old.prompt_template,
        output_schema_json="{}",
        rubric=old.rubric,
    )
    assert check_interrogations() == ()
