"""What only llama.cpp's server has: a key, a prompt cache that says what it saved, a process that can be killed."""

import asyncio
import json
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from derive.errors import ModelAccessRefused, ModelCrashed, ModelUnavailable
from derive.model_servers.client import ModelClient
from derive.models import Endpoint
from tests.faults.worker_world import World, input_json, wait_until
from tests.real_servers.conftest import or_skip
from tests.real_servers.servers import OLLAMA_PROGRAM, RealServer, llama_server
from tests.real_servers.test_client import ENDLESS, ask, is_refused, object_of, request_for, with_client

pytestmark = pytest.mark.skipif(OLLAMA_PROGRAM is not None, reason="these are of llama.cpp's server")

KEY = "a-key-for-one-test"
WRONG = SecretStr("Bearer another-key")


@pytest.fixture
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    """A server of its own, which wants a key and is told it."""
    with or_skip(llama_server(tmp_path_factory.mktemp("locked"), api_key=KEY)) as server:
        yield server


def test_a_list_longer_than_its_grammar_can_be_is_a_refused_schema(server: RealServer) -> None:
    is_refused(server, object_of(a={"type": "array", "items": {"type": "string"}, "maxItems": 2_000}))


def test_what_the_prompt_cache_saved_is_kept_with_the_answer(server: RealServer) -> None:
    beginning = "The rules are the same for every question. " * 20
    ask(server, f"{beginning} The first one.")
    usage = json.loads(ask(server, f"{beginning} The second.").response_json)["usage"]
    cached = usage["prompt_tokens_details"]["cached_tokens"]
    assert cached > len(beginning)
    assert usage["prompt_tokens"] - cached < 50


def test_jobs_of_one_interrogation_share_most_of_their_prompt(world: World) -> None:
    jobs = [world.enqueue(input_json=input_json(entity_id=f"e{n}", text=f"Nobody knows {n}.")) for n in range(2)]
    world.work(2)
    usage = json.loads(world.file(world.run(jobs[1]), "response.json"))["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > usage["prompt_tokens"] / 2


def test_a_key_that_the_server_refuses_is_told_apart_from_a_server_that_is_away(locked: RealServer) -> None:
    async def use(client: ModelClient) -> None:
        body = client.body(request_for(locked, "Who asks?"))
        for _ in range(2):
            with pytest.raises(ModelAccessRefused, match="OLLAMA_API_KEY"):
                await client.chat(body, sink=lambda _: None, job_has_own_model=False)
        with pytest.raises(ModelUnavailable, match="OLLAMA_API_KEY"):
            await client.probe()

    with_client(locked, use, authorization=WRONG)
    assert ask(locked, "Who asks?").done_reason == "stop"


def test_a_server_that_is_killed_over_an_answer_breaks_it_off(locked: RealServer) -> None:
    async def use(client: ModelClient) -> None:
        begun = asyncio.Event()
        body = client.body(request_for(locked, "Go on.", ENDLESS))
        call = asyncio.create_task(client.chat(body, sink=lambda _: begun.set(), job_has_own_model=False))
        await begun.wait()
        locked.process.kill()
        with pytest.raises(ModelCrashed) as caught:
            await call
        assert caught.value.connection_broke
        with pytest.raises(ModelUnavailable):
            await client.probe()

    with_client(locked, use)


def test_a_refused_key_harms_no_job(world: World, locked: RealServer) -> None:
    world.ollama |= locked.given(authorization=WRONG)
    job_id = world.enqueue()
    with world.working():
        wait_until(lambda: Endpoint.objects.filter(last_error__contains="OLLAMA_API_KEY").exists(), "it says so")
    assert (world.job(job_id).status, [run for run in world.runs(job_id) if run.counted]) == ("NEW", [])
    world.ollama |= locked.given()
    world.work()
    assert world.job(job_id).status == "SUCCEEDED"
