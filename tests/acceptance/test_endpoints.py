"""A worker, as a command, with a file of model servers."""

from pathlib import Path

import pytest

from tests.acceptance.worker_processes import ProcessWorld
from tests.fake_ollama import FakeOllama

KEY = "sk-canary-of-an-endpoint"


def file_of(folder: Path, *endpoints: str) -> str:
    file = folder / "endpoints.toml"
    file.write_text("".join(f"[[endpoint]]\n{endpoint}\n" for endpoint in endpoints))
    return str(file)


def test_jobs_are_done_by_whichever_server_of_the_file_is_there(world: ProcessWorld, tmp_path: Path) -> None:
    job_id = world.enqueue()
    with FakeOllama() as fake:
        file = file_of(
            tmp_path,
            'name = "away"\nurl = "http://127.0.0.1:9"',
            f'name = "here"\nurl = "{fake.url}/v1"\nprotocol = "openai"\napi_key_env = "HERE_KEY"',
        )
        process = world.worker("--max-jobs", "1", "--verbose", HOLOCRON_ENDPOINTS=file, HERE_KEY=KEY)
        assert process.exit_code() == 0, process.said()
        assert {request.headers["authorization"] for request in fake.requests} == {f"Bearer {KEY}"}
        (run,) = world.runs(job_id)
        assert (run["ollama_base_url"], run["status"]) == (f"{fake.url}/v1", "SUCCEEDED")
    assert KEY not in process.said()


@pytest.mark.parametrize(
    ("endpoint", "said"),
    [
        ('name = "a"\nurl = "http://h"\nslot = 1', "endpoint 1, slot: is not known"),
        ('name = "a"\nurl = "http://ada:hush@h"', "api_key_env"),
        ('name = "a"\nurl = "http://h"\napi_key_env = "NOT_SET"', "the variable that api_key_env names is not set"),
    ],
)
def test_a_wrong_file_is_one_line_and_stops_the_start(
    endpoint: str, said: str, world: ProcessWorld, tmp_path: Path
) -> None:
    process = world.worker("--once", HOLOCRON_ENDPOINTS=file_of(tmp_path, endpoint))
    assert process.exit_code() == 2
    assert process.said().count("\n") == 1, process.said()
    assert said in process.said()
    assert "hush" not in process.said()


@pytest.mark.parametrize("arguments", [("--concurrency", "2"), ("--processes", "2")])
def test_slots_are_only_configured_in_the_endpoints_file(
    arguments: tuple[str, str], world: ProcessWorld, tmp_path: Path
) -> None:
    file = file_of(tmp_path, 'name = "a"\nurl = "http://127.0.0.1:9"')
    process = world.worker("--loop", *arguments, HOLOCRON_ENDPOINTS=file)
    assert process.exit_code() == 2
    assert "give each endpoint its slots" in process.said()
