"""A worker whose model server stands behind a private authority and asks for a password."""

from base64 import b64encode
from pathlib import Path

from tests.acceptance.worker_processes import ProcessWorld
from tests.fake_ollama import FakeOllama
from tests.own_authority import OwnAuthority

PASSWORD = "hush@/hush"


def test_a_job_is_done_by_a_server_behind_a_private_authority_and_a_password(
    world: ProcessWorld, tmp_path: Path
) -> None:
    authority = OwnAuthority(tmp_path)
    job_id = world.enqueue()
    with FakeOllama(tls=authority.server()) as secured:
        url = secured.url.replace("https://", "https://ada:hush%40%2Fhush@")
        process = world.worker("--once", "--verbose", OLLAMA_BASE_URL=url, OLLAMA_CA_FILE=str(authority.file))
        assert process.exit_code() == 0, process.said()
        expected = f"Basic {b64encode(f'ada:{PASSWORD}'.encode()).decode()}"
        assert {request.headers["authorization"] for request in secured.requests} == {expected}
        (run,) = world.runs(job_id)
        assert run["ollama_base_url"] == secured.url
        assert "hush" not in process.said()


def test_a_refused_certificate_or_password_stops_the_start_and_harms_no_job(
    world: ProcessWorld, tmp_path: Path
) -> None:
    job_id = world.enqueue()
    with FakeOllama(tls=OwnAuthority(tmp_path).server()) as secured:
        process = world.worker("--once", OLLAMA_BASE_URL=secured.url)
        assert process.exit_code() == 2
        assert "OLLAMA_CA_FILE" in process.said().splitlines()[-1]
    assert world.runs(job_id) == []
    assert world.job(job_id)["status"] == "NEW"


def test_settings_of_the_model_server_that_cannot_be_used_are_one_line(world: ProcessWorld, tmp_path: Path) -> None:
    none = str(tmp_path / "none.pem")
    for variables, named in (
        ({"OLLAMA_BASE_URL": "https://127.0.0.1:1", "OLLAMA_CA_FILE": none}, "OLLAMA_CA_FILE"),
        ({"OLLAMA_API_KEY_FILE": none}, "OLLAMA_API_KEY_FILE"),
        ({"OLLAMA_BASE_URL": "https://ada:hush@host", "OLLAMA_API_KEY": "hush"}, "OLLAMA_API_KEY"),
    ):
        process = world.worker("--once", **variables)
        assert process.exit_code() == 2
        assert process.said().count("\n") == 1, process.said()
        assert named in process.said()
        assert "hush" not in process.said()
