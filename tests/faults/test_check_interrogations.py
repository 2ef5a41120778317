"""``check_interrogations`` tells what a server makes of each schema, and the workers by it."""

import json
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django.fixtures import Settings

from derive.interrogations.registry import Registry
from derive.models import Interrogation
from derive.queue import JobQueue
from tests.fake_ollama import FakeOllama, behaviours

BUILT_IN = Registry.load(None).get("sw_entity_facts_v1").definition


@pytest.fixture
def fake(empty_queue: None, settings: Settings) -> Iterator[FakeOllama]:
    JobQueue().register(
        definition_sha256=BUILT_IN.definition_sha256,
        interrogation_key=BUILT_IN.interrogation_key,
        version=BUILT_IN.version,
        prompt_template=BUILT_IN.prompt_template,
        output_schema_json=BUILT_IN.output_schema_json,
        rubric=BUILT_IN.rubric,
    )
    with FakeOllama() as fake:
        settings.OLLAMA = settings.OLLAMA.model_copy(update={"base_url": fake.url})
        settings.INTERROGATIONS_FOLDER = None
        yield fake


def check(*arguments: str) -> tuple[Any, str, str]:
    printed, complained = StringIO(), StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("check_interrogations", *arguments, stdout=printed, stderr=complained)
    return ended.value.code, printed.getvalue(), complained.getvalue()


def refused_why() -> Any:
    return Interrogation.objects.get().refused_why


def test_a_schema_that_is_taken_costs_one_token_and_ends_it_with_0(fake: FakeOllama) -> None:
    fake.next(behaviours.truncated())
    assert check() == (0, "sw_entity_facts_v1 1.2.0: accepted\n", "")
    (asked,) = fake.chats
    assert asked.json["format"] == BUILT_IN.output_schema
    assert asked.json["options"]["num_predict"] == 1


def test_a_refusal_is_told_to_people_and_workers_until_the_schema_is_taken(fake: FakeOllama) -> None:
    fake.next(behaviours.bad_schema())
    code, printed, _ = check()
    assert code == 1
    assert "sw_entity_facts_v1 1.2.0: refused: " in printed
    assert "invalid JSON schema in format" in printed
    assert "invalid JSON schema in format" in refused_why()
    assert check()[0] == 0
    assert refused_why() is None


def test_another_server_is_asked_and_the_workers_are_not_told(fake: FakeOllama, settings: Settings) -> None:
    settings.OLLAMA = settings.OLLAMA.model_copy(update={"base_url": "http://127.0.0.1:9"})
    fake.next(behaviours.bad_schema())
    code, printed, _ = check("--server", fake.url, "--json")
    assert (code, json.loads(printed)["taken"]) == (1, False)
    assert refused_why() is None


def test_a_server_that_fails_over_a_schema_and_answers_to_another_refuses_it(fake: FakeOllama) -> None:
    fake.next(behaviours.crashed(), behaviours.answer("{}"))
    code, printed, _ = check()
    assert code == 1
    assert "the server fails over it" in printed


def test_a_server_that_answers_to_nothing_is_no_verdict_on_a_schema(fake: FakeOllama) -> None:
    fake.next(behaviours.crashed(), behaviours.crashed())
    code, printed, complained = check()
    assert (code, printed) == (2, "")
    assert "check_interrogations: " in complained
    assert refused_why() is None
    fake.go_away()
    assert check()[0] == 2


def test_without_a_database_people_are_told_all_the_same(fake: FakeOllama, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_args: Any, **_named: Any) -> bool:
        from derive.errors import DatabaseUnavailable

        raise DatabaseUnavailable("away")

    monkeypatch.setattr(JobQueue, "set_schema_refusal", away)
    code, printed, complained = check()
    assert (code, printed) == (0, "sw_entity_facts_v1 1.2.0: accepted\n")
    assert "the result could not be stored for the workers: away" in complained
