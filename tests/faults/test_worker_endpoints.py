"""One worker and several model servers: who is asked what, and what happens when one of them is away."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from derive.errors import ConfigurationError, LakeUnavailable, ModelCrashed, ModelUnavailable
from derive.lake import Lake
from derive.model_servers.endpoints import EndpointSettings
from derive.model_servers.settings import ModelSettings, Protocol
from derive.models import Job, Run
from derive.worker.attempt import _give_back_if_server_is_gone
from derive.worker.slots import Slots
from tests.fake_ollama import FakeOllama, Gate, behaviours
from tests.faults.worker_world import GOOD_ANSWER, World, wait_until

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "lease"], available_apps=["derive"])

LLAMA, OTHER = "llama3.2", "other"


def endpoint(
    name: str, fake: FakeOllama, *, slots: int = 2, models: tuple[str, ...] = (), model: str = LLAMA, **server: Any
) -> EndpointSettings:
    settings = ModelSettings(**{"endpoint": name, "base_url": fake.url, "model": model} | server)
    return EndpointSettings(name=name, slots=slots, models=models, server=settings)


@pytest.fixture
def two(world: World) -> Iterator[tuple[FakeOllama, FakeOllama]]:
    """Two servers; the world's workers ask both, the second by the OpenAI-compatible protocol."""
    with FakeOllama() as second:
        second.always(behaviours.answer(GOOD_ANSWER))
        world.endpoints = (
            endpoint("first", world.fake),
            endpoint("second", second, protocol=Protocol.OPENAI),
        )
        yield world.fake, second


@contextmanager
def working(world: World, **options: Any) -> Iterator[Any]:
    with world.working(**options) as running:
        yield running.worker


def enqueue(world: World, jobs: int, **values: Any) -> None:
    for _ in range(jobs):
        world.enqueue(**values)


def all_succeeded() -> bool:
    return not Job.objects.exclude(status="SUCCEEDED").exists()


def test_each_endpoint_has_slots_of_its_own(world: World, two: tuple[FakeOllama, FakeOllama]) -> None:
    gate = Gate()
    for fake in two:
        fake.always(behaviours.answer(GOOD_ANSWER, first_gate=gate))
    enqueue(world, 6)
    with working(world):
        for fake in two:
            fake.wait_until(lambda fake=fake: len(fake.chats) == 2)  # type: ignore[misc]
        assert Job.objects.filter(status="RUNNING").count() == 4
        gate.open()
        wait_until(all_succeeded, "all jobs succeed")
    assert {run.ollama_base_url for run in Run.objects.all()} == {fake.url for fake in two}


def test_a_worker_without_a_file_has_one_endpoint_of_all_its_slots(world: World) -> None:
    enqueue(world, 1)
    with working(world, concurrency=3) as worker:
        wait_until(all_succeeded, "the job succeeds")
        (only,) = worker._endpoints
        assert (only.name, only.settings.slots, only.server().models[0].model) == ("default", 3, "*")


def test_the_others_take_the_jobs_of_an_endpoint_that_is_away(world: World, two: tuple[FakeOllama, FakeOllama]) -> None:
    first, _ = two
    first.go_away()
    enqueue(world, 4)
    with working(world):
        wait_until(all_succeeded, "the second endpoint answers all")
    assert all(run.status == "SUCCEEDED" for run in Run.objects.filter(counted=True))


def test_jobs_of_an_endpoint_that_goes_away_are_unharmed_and_answered_by_the_others(
    world: World, two: tuple[FakeOllama, FakeOllama]
) -> None:
    first, second = two
    enqueue(world, 2)
    with working(world):
        wait_until(all_succeeded, "both endpoints work")
        first.go_away()
        enqueue(world, 6)
        wait_until(all_succeeded, "the second endpoint answers all")
        failed = Run.objects.exclude(status="SUCCEEDED")
        assert all((run.error_kind, run.counted) == ("model_unavailable", False) for run in failed)
        first.come_back()
        answered = len(first.chats)
        gate = Gate()
        second.always(behaviours.answer(GOOD_ANSWER, first_gate=gate))
        enqueue(world, 12)  # more than the second can have in its slots and ahead of them
        first.wait_until(lambda: len(first.chats) > answered)
        gate.open()
        wait_until(all_succeeded, "the first is asked again")


def test_an_answer_that_an_endpoint_breaks_off_by_going_away_is_asked_of_another(
    world: World, two: tuple[FakeOllama, FakeOllama]
) -> None:
    first, _ = two
    gates = Gate(), Gate()
    for fake, gate in zip(two, gates, strict=True):
        fake.always(behaviours.answer(GOOD_ANSWER, gate=gate))
    enqueue(world, 4)
    with working(world):
        for fake in two:
            fake.wait_until(lambda fake=fake: len(fake.chats) == 2)  # type: ignore[misc]
        first.go_away()
        gates[1].open()
        wait_until(all_succeeded, "the second endpoint answers all")
    broken = Run.objects.exclude(status="SUCCEEDED")
    assert {(run.error_kind, run.counted, run.ollama_base_url) for run in broken} == {
        ("model_unavailable", False, first.url)
    }


@pytest.mark.parametrize(
    ("previous", "others", "broke", "gives_back"),
    [
        (None, True, True, True),
        ("model_crashed", True, True, True),
        ("model_unavailable", True, True, False),
        (None, False, True, False),
        (None, True, False, False),
    ],
)
def test_a_broken_off_answer_is_given_back_once_and_counted_the_next_time(
    previous: str | None, others: bool, broke: bool, gives_back: bool
) -> None:
    class Gone:
        async def probe(self) -> None:
            raise ModelUnavailable("connection refused")

    error = ModelCrashed("the connection broke")
    error.connection_broke = broke
    claim: Any = SimpleNamespace(previous_error_kind=previous)
    tools: Any = SimpleNamespace(others_can_answer=others, client=Gone())
    if gives_back:
        with pytest.raises(ModelUnavailable, match="the connection broke; and now connection refused"):
            asyncio.run(_give_back_if_server_is_gone(error, claim, tools))
    else:
        asyncio.run(_give_back_if_server_is_gone(error, claim, tools))


def test_a_refused_key_pauses_only_that_endpoint_and_harms_no_job(
    world: World, two: tuple[FakeOllama, FakeOllama]
) -> None:
    first, second = two
    second.always(behaviours.status(401, "Invalid API Key"))
    enqueue(world, 6)
    with working(world) as worker:
        wait_until(all_succeeded, "the first endpoint answers all")
        refused = worker._endpoints[1].circuit_breaker
        gate = Gate()
        first.always(behaviours.answer(GOOD_ANSWER, first_gate=gate))
        enqueue(world, 4)
        wait_until(lambda: refused.is_access_refused, "the second is paused")
        assert "set the variable that api_key_env of endpoint 'second'" in refused.why
        assert worker._gate.why_waiting is None
        asked = len(second.chats)
        gate.open()
        wait_until(all_succeeded, "the first endpoint goes on")
        assert len([chat for chat in second.chats[asked:] if "messages" in chat.json]) == 0
    assert not Run.objects.filter(counted=True).exclude(status="SUCCEEDED").exists()


def test_an_endpoint_is_given_jobs_of_its_own_models_alone(world: World) -> None:
    with FakeOllama(models={OTHER: "ab" * 32}) as second:
        second.always(behaviours.answer(GOOD_ANSWER))
        world.endpoints = (
            endpoint("first", world.fake),
            endpoint("second", second, models=(OTHER,), model=OTHER, protocol=Protocol.OPENAI),
        )
        enqueue(world, 3, model_hint=OTHER)
        enqueue(world, 3, model_hint=LLAMA)
        with working(world):
            wait_until(all_succeeded, "all jobs succeed")
        assert {chat.json["model"] for chat in world.fake.chats} == {LLAMA}
        assert {chat.json["model"] for chat in second.chats} == {OTHER}


def test_without_affinity_an_endpoint_is_given_its_models_in_strict_order(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Slots, "ahead", 0)
    with FakeOllama(models={"a": "ab" * 32, "b": "cd" * 32}) as second:
        second.always(behaviours.answer(GOOD_ANSWER))
        world.endpoints = (
            endpoint("first", world.fake),
            endpoint("second", second, slots=3, models=("a", "b"), model="a"),
        )
        for hint in ("b", "a", LLAMA, "a", "b", "a"):
            world.enqueue(model_hint=hint)
        with working(world, model_affinity=False):
            wait_until(all_succeeded, "all jobs succeed")
    first_claim = Run.objects.filter(ollama_base_url=second.url).order_by("run_seq")[:3]
    assert sorted(run.model_name for run in first_claim) == ["a", "a", "b"]


def test_without_models_in_the_file_an_endpoint_is_given_what_its_server_lists(world: World) -> None:
    with FakeOllama(models={f"{LLAMA}:latest": "ab" * 32, f"{OTHER}:latest": "cd" * 32}) as second:
        second.always(behaviours.answer(GOOD_ANSWER))
        world.endpoints = (endpoint("first", world.fake), endpoint("second", second))
        enqueue(world, 4, model_hint=OTHER)
        with working(world):
            wait_until(all_succeeded, "the second endpoint answers all")
        assert OTHER not in {chat.json["model"] for chat in world.fake.chats}


def test_jobs_of_a_model_that_no_endpoint_has_wait(world: World, two: tuple[FakeOllama, FakeOllama]) -> None:
    waiting = world.enqueue(model_hint="nobody-has-it", priority=200)
    enqueue(world, 2)
    with working(world):
        wait_until(lambda: Job.objects.filter(status="SUCCEEDED").count() == 2, "the others succeed")
    assert (world.job(waiting).status, world.runs(waiting)) == ("NEW", [])


def test_a_worker_with_a_limit_ends_though_an_endpoint_is_away(
    world: World, two: tuple[FakeOllama, FakeOllama]
) -> None:
    two[0].go_away()
    enqueue(world, 3)
    assert world.work(3).runs == 3


def test_once_an_endpoint_that_is_away_does_not_matter_while_another_works(
    world: World, two: tuple[FakeOllama, FakeOllama]
) -> None:
    two[0].go_away()
    enqueue(world, 2)
    report = world.worker(once=True).report()
    assert (report.runs, report.last_status) == (1, "SUCCEEDED")


def test_once_all_endpoints_that_are_away_are_named(world: World, two: tuple[FakeOllama, FakeOllama]) -> None:
    for fake in two:
        fake.go_away()
    enqueue(world, 1)
    report = world.worker(once=True).report()
    assert report.runs == 0
    assert report.refusal is not None
    assert report.refusal.startswith("first: no connection to Ollama at ")
    assert "; second: no connection to the model server at " in report.refusal


def test_one_model_is_asked_of_the_endpoints_that_have_it(world: World) -> None:
    with ExitStack() as servers:
        fakes = [servers.enter_context(FakeOllama(models={OTHER: "ab" * 32})) for _ in range(2)]
        for fake in fakes:
            fake.always(behaviours.answer(GOOD_ANSWER))
        world.endpoints = (
            endpoint("first", fakes[0], models=(LLAMA,)),
            endpoint("second", fakes[1], models=(OTHER,), model=OTHER),
        )
        enqueue(world, 2)
        world.work(2, model=OTHER)
        assert [len(fake.chats) for fake in fakes] == [0, 2]
        with pytest.raises(ConfigurationError, match="--model nobody-has-it: no endpoint"):
            world.worker(model="nobody-has-it").report()


def facts_of(worker: Any) -> dict[str, Any]:
    return {facts.name: facts for facts in worker._keeper.facts().endpoints}


def test_a_worker_reports_what_it_knows_of_each_endpoint(world: World, two: tuple[FakeOllama, FakeOllama]) -> None:
    enqueue(world, 4)
    with working(world) as worker:
        wait_until(all_succeeded, "all jobs succeed")
        wait_until(lambda: facts_of(worker)["first"].resident is not None, "what is resident is known")
        first, second = facts_of(worker).values()
        assert (first.protocol, first.address, first.slots, first.state) == ("ollama", world.fake.url, 2, "UP")
        assert (first.models, first.resident) == (("llama3.2:latest",), ("llama3.2:latest",))
        assert (first.serving_model, first.last_error) == (LLAMA, None)
        assert first.serving_since_utc is not None
        wait_until(lambda: facts_of(worker)["second"].models is not None, "what the second has is known")
        assert (second.protocol, second.resident) == ("openai", None)
        two[0].go_away()
        two[1].always(behaviours.status(403, "go away"))
        enqueue(world, 4)
        wait_until(lambda: facts_of(worker)["first"].state == "DOWN", "the first is down")
        wait_until(lambda: facts_of(worker)["second"].state == "PAUSED", "the second is paused")
        assert "no connection to Ollama" in facts_of(worker)["first"].last_error
        assert "go away" in facts_of(worker)["second"].last_error


def test_what_is_wrong_with_the_lake_is_no_fault_of_an_endpoint(
    world: World, two: tuple[FakeOllama, FakeOllama], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_lake: Lake) -> None:
        raise LakeUnavailable("no disk")

    enqueue(world, 2)
    with working(world) as worker:
        wait_until(all_succeeded, "all jobs succeed")
        monkeypatch.setattr(Lake, "probe", fail)
        world_in_trouble = LakeUnavailable("no disk")
        worker._loop.call_soon_threadsafe(worker._runs._record_failure, worker._endpoints[0], world_in_trouble)
        wait_until(lambda: not any(one.circuit_breaker.is_open for one in worker._endpoints), "both stop")
        assert [facts.state for facts in facts_of(worker).values()] == ["UP", "UP"]
        assert "no disk" in str(worker._gate.why_waiting)
