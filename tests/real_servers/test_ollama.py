"""What only Ollama has: a digest, load times, what is in its memory, and an end to answers that repeat themselves."""

import pytest

from derive.errors import ModelCrashed
from derive.model_servers.chat import ChatAnswer, check_answer
from derive.model_servers.client import ModelClient
from tests.real_servers.servers import OLLAMA_PROGRAM, RealServer
from tests.real_servers.test_client import ask, object_of, request_for, with_client

pytestmark = pytest.mark.skipif(OLLAMA_PROGRAM is None, reason="`make test-ollama` builds an Ollama and runs these")


def test_the_model_that_answered_is_the_one_that_was_asked(server: RealServer) -> None:
    question = request_for(server, "Who answers?")

    async def use(client: ModelClient) -> ChatAnswer:
        snapshot = await client.snapshot(server.model)
        assert snapshot.server_version
        answer = await client.chat(client.body(question), sink=lambda _: None, job_has_own_model=False)
        loaded = await client.loaded(server.model)
        assert loaded is not None
        checks = check_answer(question, answer, digest=snapshot.digest, loaded=loaded)
        assert {check.name for check in checks if check.passed} >= {"context_length", "model_digest", "model_name"}
        assert await client.resident() == (f"{server.model}:latest",)
        return answer

    assert (with_client(server, use).metrics.total_duration or 0) > 0


def test_another_window_loads_the_model_anew_and_says_how_long_it_took(server: RealServer) -> None:
    for window in (1_024, server.window):
        answer = ask(server, "Who answers?", num_ctx=window)
        assert (answer.metrics.load_duration or 0) > 0


def test_an_answer_that_repeats_itself_is_broken_off(server: RealServer) -> None:
    with pytest.raises(ModelCrashed, match="more than thirty times"):
        ask(server, "Say it.", object_of(a={"type": "string", "pattern": "^a{60}$"}))
