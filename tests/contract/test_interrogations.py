from typing import Any

import pytest

from derive.models import Interrogation
from derive.queue import JobQueue

DEFINITION: dict[str, Any] = {
    "definition_sha256": "ab" * 32,
    "interrogation_key": "sw_entity_facts_v1",
    "version": "1",
    "prompt_template": "Tell of ${entity}: 100 % of it, %s included",
    "output_schema_json": '{"type": "object"}',
    "rubric": "# Rubric\n",
}


def test_a_definition_is_kept_under_its_hash(queue: JobQueue) -> None:
    assert queue.register(**DEFINITION).registered
    stored = Interrogation.objects.get(definition_sha256="ab" * 32)
    for name, value in DEFINITION.items():
        assert getattr(stored, name) == value, name


def test_the_same_definition_may_be_registered_again(queue: JobQueue) -> None:
    queue.register(**DEFINITION)
    assert queue.register(**DEFINITION).registered
    assert Interrogation.objects.count() == 1


def test_a_changed_definition_under_an_old_version_is_refused(queue: JobQueue) -> None:
    queue.register(**DEFINITION)
    answer = queue.register(**{**DEFINITION, "definition_sha256": "cd" * 32, "rubric": "another"})
    assert not answer.registered
    assert answer.why
    assert Interrogation.objects.get().rubric == "# Rubric\n"


@pytest.mark.parametrize("change", [{"version": "2"}, {"interrogation_key": "another"}])
def test_another_version_or_key_is_another_definition(queue: JobQueue, change: dict[str, str]) -> None:
    queue.register(**DEFINITION)
    assert queue.register(**{**DEFINITION, "definition_sha256": "cd" * 32, **change}).registered
    assert Interrogation.objects.count() == 2


def test_a_refused_schema_is_noted_since_the_first_refusal_until_it_is_taken(queue: JobQueue) -> None:
    queue.register(**DEFINITION)
    sha256 = DEFINITION["definition_sha256"]
    assert queue.set_schema_refusal(sha256, why="failed to parse grammar")
    assert not queue.set_schema_refusal(sha256, why="said again")
    queue.register(**DEFINITION)
    stored = Interrogation.objects.get()
    assert (stored.refused_why, stored.refused_utc is None) == ("failed to parse grammar", False)
    assert queue.set_schema_refusal(sha256, why=None)
    assert not queue.set_schema_refusal(sha256, why=None)
    stored = Interrogation.objects.get()
    assert (stored.refused_why, stored.refused_utc) == (None, None)


def test_a_refusal_is_recorded_only_for_its_own_definition(queue: JobQueue) -> None:
    queue.register(**DEFINITION)
    other = queue.register(**{**DEFINITION, "definition_sha256": "cd" * 32, "version": "2"})
    assert other.registered
    queue.set_schema_refusal("cd" * 32, why="failed to parse grammar")
    assert Interrogation.objects.get(definition_sha256="ab" * 32).refused_why is None
    assert Interrogation.objects.get(definition_sha256="cd" * 32).refused_why == "failed to parse grammar"
    queue.set_schema_refusal("ab" * 32, why=None)
    assert Interrogation.objects.get(definition_sha256="cd" * 32).refused_why == "failed to parse grammar"


def test_if_hash_and_version_both_exist_the_version_is_reported(queue: JobQueue) -> None:
    queue.register(**DEFINITION)
    queue.register(**{**DEFINITION, "definition_sha256": "cd" * 32, "version": "2"})
    answer = queue.register(**{**DEFINITION, "version": "2"})
    assert not answer.registered
    assert answer.why is not None
    assert "version 2 is registered with another definition" in answer.why


def test_an_existing_hash_is_reported_with_its_version(queue: JobQueue) -> None:
    queue.register(**DEFINITION)
    answer = queue.register(**{**DEFINITION, "version": "2"})
    assert (answer.registered, answer.why) == (False, "this hash is registered as sw_entity_facts_v1 version 1")


def test_no_refusal_is_noted_of_a_definition_that_is_not_on_record(queue: JobQueue) -> None:
    assert not queue.set_schema_refusal("ef" * 32, why="failed to parse grammar")
