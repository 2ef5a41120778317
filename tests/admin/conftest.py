"""People of each group, and a job whose every text is hostile."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client
from pytest_django.fixtures import Settings

from derive.contracts import JobInput, Outcome, RunFacts
from derive.lake import Lake, artifact_facts
from derive.queue import JobQueue
from derive.states import RunStatus
from tests.admin.facts_scene import QUOTES, a_fact, three_facts, told

HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>\u202egnp.exe"
PEOPLE = ("nobody", "viewer", "operator", "maintainer", "superuser")
EVIDENCE = [
    {"evidence_id": "E1", "source_uri": "inline", "text": "Luke  Skywalker was\nborn on Tatooine."},
    {"evidence_id": "E2", "source_uri": HOSTILE, "text": HOSTILE},
]
ANSWER = {
    "facts": [
        {"statement": HOSTILE, "evidence_ids": ["E1"], "quote": "Skywalker was born"},
        {"statement": "made up", "evidence_ids": ["E1"], "quote": "on Alderaan"},
    ]
}


@dataclass(frozen=True)
class Scene:
    """A succeeded job, a waiting one, and the run between."""

    done: UUID
    waiting: UUID
    run: UUID
    artifact: UUID
    lake: Path


@pytest.fixture
def people(transactional_db: None, empty_queue: None) -> Iterator[dict[str, User]]:
    """Users, by what they may do."""
    users = make_people()
    yield users
    for user in users.values():
        user.delete()


def make_people() -> dict[str, User]:
    """Make one of each group, which the migrations made."""
    users = {
        name: User.objects.create(
            username=f"{name}-{uuid4()}", is_staff=name != "nobody", is_superuser=name == "superuser"
        )
        for name in PEOPLE
    }
    for name in ("viewer", "operator", "maintainer"):
        users[name].groups.add(Group.objects.get(name=name.capitalize()))
    return users


@pytest.fixture
def browse_rolled_back(db: None) -> "Browse":
    """Clients for what calls no procedure: all in one transaction that is rolled back, which is much faster."""
    return Browse(make_people())


@pytest.fixture
def browse(people: dict[str, User]) -> "Browse":
    """Clients that are logged in."""
    return Browse(people)


@pytest.fixture
def operator(browse: "Browse", queue: JobQueue) -> Client:
    """An operator's client, beside a queue that is empty."""
    return browse("operator")


@pytest.fixture
def uploads(settings: Settings, tmp_path: Path) -> Path:
    """Where uploads are kept, of one test alone."""
    settings.UPLOADS_FOLDER = tmp_path / "var" / "uploads"
    return Path(settings.UPLOADS_FOLDER)


@dataclass(frozen=True)
class Browse:
    """Gives a client by whose it is."""

    people: dict[str, User]

    def __call__(self, who: str) -> Client:
        """Return a client logged in as this person."""
        client = Client()
        client.force_login(self.people[who], backend="django.contrib.auth.backends.ModelBackend")
        return client


@pytest.fixture
def scene(people: dict[str, User], settings: Settings, tmp_path: Path) -> Scene:
    """Jobs, a run, its files in a lake of its own."""
    settings.LAKE_URL = str(tmp_path)
    queue = JobQueue()
    first = JobInput(
        interrogation_key="sw_entity_facts_v1",
        input_json=json.dumps({"name": HOSTILE}),
        evidence_ref_json=json.dumps({"items": [{"text": HOSTILE}]}),
        entity_type="person",
        entity_id=HOSTILE,
        dedupe_key="the-key",
    )
    done = queue.enqueue(first, actor=HOSTILE).job_id
    claim = queue.claim("worker-1")[0]
    lake = Lake.open(str(tmp_path))
    folder = lake.run_folder(claim.started_utc, claim.run_id)
    answer = json.dumps(ANSWER)
    files = lake.write_all(
        folder,
        {
            "evidence.json": json.dumps({"items": EVIDENCE}).encode(),
            "prompt.txt": f"Ask: {HOSTILE}".encode(),
            "response.json": json.dumps({"message": {"content": answer}}).encode(),
            "output.json": answer.encode(),
        },
    )
    artifacts = artifact_facts(claim.run_id, folder, files)
    queue.complete(
        Outcome(
            job_id=done,
            run_id=claim.run_id,
            status=RunStatus.SUCCEEDED,
            run=RunFacts(model_name=HOSTILE, output_json=answer),
            artifacts=artifacts,
        )
    )
    waiting = queue.enqueue(JobInput(interrogation_key="sw_entity_facts_v1", input_json="{}")).job_id
    prompt = next(fact.artifact_id for fact in artifacts if fact.artifact_type == "prompt_text")
    return Scene(done=done, waiting=waiting, run=claim.run_id, artifact=prompt, lake=tmp_path)


@pytest.fixture
def queue(empty_queue: None) -> JobQueue:
    """An empty queue."""
    return JobQueue()


@pytest.fixture
def lake(queue: JobQueue, settings: Settings, tmp_path: Path) -> Lake:
    settings.LAKE_URL = str(tmp_path)
    return Lake.open(str(tmp_path))


@pytest.fixture
def facts(lake: Lake) -> list[UUID]:
    """Facts of three answers: of one entity by two models that disagree, and of another interrogation."""
    first = told(lake, three_facts())
    other = a_fact(3, QUOTES[0], fact_key="birth_place", value="Arrel", value_key="arrel")
    second = told(lake, (other,), evidence_sha256="cd" * 32, run={"model_name": "qwen3", "interrogation_version": "2"})
    elsewhere = a_fact(4, QUOTES[0], fact_key="birth_place")
    third = told(lake, (elsewhere,), entity_type="planet", entity_id="corvessa", interrogation_key="other_v1")
    return [run_id for _job_id, run_id in (first, second, third)]
