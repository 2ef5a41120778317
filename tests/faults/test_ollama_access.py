"""A model server behind a private authority, a key or a password: reached, or refused with what to set."""

import asyncio
import json
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from derive.errors import ConfigurationError, ModelCrashed, ModelUnavailable, RunError
from derive.model_servers.chat import ChatAnswer, ChatOptions, ChatRequest
from derive.model_servers.settings import ModelSettings
from derive.ollama.client import OllamaClient
from tests.fake_ollama import Behaviour, Exchange, FakeOllama, behaviours
from tests.own_authority import OwnAuthority

KEY = "sk-canary-of-the-model-server"
PASSWORD = "hush:hush@hush"
BEARER = SecretStr(f"Bearer {KEY}")
BASIC = SecretStr(f"Basic {b64encode(f'ada:{PASSWORD}'.encode()).decode()}")


@pytest.fixture
def fake() -> Iterator[FakeOllama]:
    with FakeOllama() as server:
        yield server


@pytest.fixture
def authority(tmp_path: Path) -> OwnAuthority:
    return OwnAuthority(tmp_path)


def chat(fake: FakeOllama, *, received: bytearray | None = None, **settings: Any) -> ChatAnswer:
    """Ask once and return the answer; the received bytes go into ``received``."""
    asked = ChatRequest(
        model="llama3.2",
        prompt="Who?",
        schema={"type": "object"},
        options=ChatOptions(num_ctx=512, num_predict=64, seed=0, temperature=0),
        keep_alive="5m",
    )
    sink = bytearray() if received is None else received

    async def run() -> ChatAnswer:
        given = {"base_url": fake.url, "first_byte_seconds": 5, "idle_seconds": 5} | settings
        client = OllamaClient(ModelSettings(**given))
        try:
            return await client.chat(client.body(asked), sink=sink.extend, job_has_own_model=True)
        finally:
            await client.aclose()

    return asyncio.run(run())


# Certificates


def test_a_server_of_a_private_authority_is_reached_with_its_file(authority: OwnAuthority) -> None:
    with FakeOllama(tls=authority.server()) as fake:
        assert chat(fake, ca_file=str(authority.file)).done_reason == "stop"


def test_the_authorities_of_the_environment_are_trusted(
    authority: OwnAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with FakeOllama(tls=authority.server()) as fake:
        assert chat(fake).done_reason == "stop"


def test_an_unknown_authority_is_refused_with_what_to_set(authority: OwnAuthority) -> None:
    with FakeOllama(tls=authority.server()) as fake:
        with pytest.raises(ModelUnavailable, match=r"certificate is refused \(.*issuer.*OLLAMA_CA_FILE") as caught:
            chat(fake)
        assert "ollama serve" not in str(caught.value)
        assert fake.requests == []


def test_no_authority_but_those_of_the_file_is_trusted(authority: OwnAuthority, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    another = OwnAuthority(tmp_path / "other")
    with FakeOllama(tls=authority.server()) as fake, pytest.raises(ModelUnavailable, match="OLLAMA_CA_FILE"):
        chat(fake, ca_file=str(another.file))


def test_a_certificate_for_another_name_says_so(authority: OwnAuthority) -> None:
    with (
        FakeOllama(tls=authority.server(address="10.0.0.1")) as fake,
        pytest.raises(ModelUnavailable, match=r"certificate is refused.*name that the certificate holds"),
    ):
        chat(fake, ca_file=str(authority.file))


def test_an_expired_certificate_says_so(authority: OwnAuthority) -> None:
    with (
        FakeOllama(tls=authority.server(expired=True)) as fake,
        pytest.raises(ModelUnavailable, match=r"expired.*renew it, or set this machine's clock"),
    ):
        chat(fake, ca_file=str(authority.file))


def test_a_server_that_wants_a_clients_certificate_harms_no_job(authority: OwnAuthority) -> None:
    with FakeOllama(tls=authority.server(wants_client_certificate=True)) as fake, pytest.raises(ModelUnavailable):
        chat(fake, ca_file=str(authority.file))


def test_a_server_that_refuses_the_handshake_harms_no_job(fake: FakeOllama) -> None:
    fatal_handshake_failure = bytes.fromhex("15 0303 0002 02 28")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(fatal_handshake_failure)

        refusing = threading.Thread(target=refuse)
        refusing.start()
        with pytest.raises(ModelUnavailable, match="the server refused the TLS handshake"):
            chat(fake, base_url=f"https://127.0.0.1:{listener.getsockname()[1]}")
        refusing.join()


def test_https_to_a_server_without_tls_says_so() -> None:
    with FakeOllama() as fake, pytest.raises(ModelUnavailable, match="speaks no TLS: write http://"):
        chat(fake, base_url=fake.url.replace("http:", "https:"))


@pytest.mark.parametrize(
    "said", ["Client sent an HTTP request to an HTTPS server.", "The plain HTTP request was sent to HTTPS port"]
)
def test_http_to_a_server_that_speaks_tls_harms_no_job(said: str) -> None:
    with FakeOllama() as fake:
        fake.next(behaviours.status(400, body=said.encode()))
        with pytest.raises(ModelUnavailable, match="write https://"):
            chat(fake)


def test_a_secure_connection_that_breaks_is_a_crash(authority: OwnAuthority) -> None:
    with FakeOllama(tls=authority.server()) as fake:
        fake.next(behaviours.breaks_off())
        with pytest.raises(ModelCrashed):
            chat(fake, ca_file=str(authority.file))


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n"])
def test_a_file_without_authorities_stops_the_start(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"OLLAMA_CA_FILE: .*ca\.pem cannot be used: "):
        OllamaClient(ModelSettings(base_url="https://127.0.0.1:1", ca_file=str(file)))


def test_certificates_are_checked_whatever_is_trusted(authority: OwnAuthority) -> None:
    for ca_file in (None, str(authority.file)):
        client = OllamaClient(ModelSettings(base_url="https://127.0.0.1:1", ca_file=ca_file))
        context = client._connections.tls
        assert context is not None
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


# Credentials


@pytest.mark.parametrize("authorization", [BEARER, BASIC])
def test_credentials_go_with_every_request(authorization: SecretStr) -> None:
    async def run(fake: FakeOllama) -> None:
        client = OllamaClient(ModelSettings(base_url=fake.url, authorization=authorization))
        await client.probe()
        await client.snapshot("llama3.2")
        await client.loaded("llama3.2")
        await client.models()
        await client.aclose()

    with FakeOllama() as fake:
        chat(fake, authorization=authorization)
        asyncio.run(run(fake))
        assert {request.path for request in fake.requests} >= {"/api/chat", "/api/show", "/api/tags", "/api/ps"}
        sent = {request.headers.get("authorization") for request in fake.requests}
    assert sent == {authorization.get_secret_value()}


@pytest.mark.parametrize("code", [401, 403])
def test_a_refusal_of_credentials_says_what_to_set_and_harms_no_job(code: int) -> None:
    with FakeOllama() as fake:
        fake.next(behaviours.status(code, "unauthorized"))
        with pytest.raises(ModelUnavailable, match=rf"answered {code}: unauthorized: set OLLAMA_API_KEY") as caught:
            chat(fake)
    assert not caught.value.counted


@pytest.mark.parametrize("authorization", [BEARER, BASIC])
@pytest.mark.parametrize("as_json", [True, False])
def test_credentials_that_a_refusal_repeats_reach_neither_message_nor_sink(
    authorization: SecretStr, as_json: bool
) -> None:
    async def refuse(exchange: Exchange) -> None:
        said = f"no: {exchange.request.headers['authorization']} ({PASSWORD})"
        body = json.dumps({"error": said}).encode() if as_json else said.encode()
        exchange.head(401, length=len(body))
        for at in range(len(body)):
            exchange.write(body[at : at + 1])

    received = bytearray()
    with FakeOllama() as fake:
        fake.next(refuse)
        with pytest.raises(ModelUnavailable) as caught:
            chat(fake, received=received, authorization=authorization)
    kept = [PASSWORD] if authorization is BASIC else []
    for secret in (authorization.get_secret_value().split()[1], *kept):
        assert secret not in str(caught.value)
        assert secret.encode() not in received
    assert b"no: " in received


@pytest.mark.parametrize("behaviour", [behaviours.crashed(), behaviours.silent(), behaviours.reset_before_headers()])
def test_credentials_stand_in_no_error(behaviour: Behaviour) -> None:
    with FakeOllama() as fake:
        fake.next(behaviour)
        with pytest.raises(RunError) as caught:
            chat(fake, authorization=BEARER, first_byte_seconds=0.1)
    seen: BaseException | None = caught.value
    while seen is not None:
        assert KEY not in f"{seen!r} {seen}"
        seen = seen.__cause__ or seen.__context__


def test_settings_do_not_show_credentials() -> None:
    settings = ModelSettings(authorization=BEARER)
    assert KEY not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"


def test_an_address_that_still_holds_credentials_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="OLLAMA_BASE_URL still holds credentials: http://host/") as caught:
        OllamaClient(ModelSettings(base_url="http://ada:hush@host/"))
    assert "hush" not in str(caught.value)
