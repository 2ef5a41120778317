"""The protocol-independent part of a model server's client: exact bytes, streaming, typed errors.

Every failure is raised as an error of ``derive.errors`` (see ``failures``), never as one of the HTTP library. Base URL
and credentials come only from the settings: no redirects, no proxies or passwords from the environment. Cancelling the
task of a call closes its connection at once, which also ends the generation.
"""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar

import httpx

from derive.errors import (
    ConfigurationError,
    ModelCrashed,
    ModelNotFound,
    ModelOverloaded,
    ModelTimeout,
    ModelUnavailable,
    RunError,
)
from derive.model_servers.access import Credentials, trusted_by
from derive.model_servers.calls import CallLimits, SharedAnswers
from derive.model_servers.chat import ChatAnswer, ChatRequest
from derive.model_servers.connections import Connections, Response
from derive.model_servers.failures import (
    FOREIGN_CONNECT_ERRORS,
    FOREIGN_ERRORS,
    failure_of_exception,
    failure_of_status,
    model_missing,
    model_unfit,
)
from derive.model_servers.models import LoadedModel, ModelSnapshot
from derive.model_servers.names import names_of
from derive.model_servers.refusals import encoding_of, read_refusal, retry_after_seconds
from derive.model_servers.settings import ModelSettings
from derive.model_servers.stream import AnswerAssembler
from derive.model_servers.wire import parse_received, quotable, without_credentials

KEEP_SNAPSHOT_SECONDS = 60
KEEP_LOADED_SECONDS = 2
CONTROL_SECONDS = 15
"""Time limit of control calls, which the server answers from memory or a small file."""

TAIL_SECONDS = 1
"""How long a response may stay open after the line that ends the answer; normally both come in the same packet."""

KEEPALIVE_SECONDS = 5
"""Shorter than any proxy's, so that a call rarely uses a connection that the other side is just closing."""

_MAX_CONTROL_BYTES = 8 * 1024 * 1024


class ModelClient(ABC):
    """One model server. Created and used in one event loop.

    Requests go through aiohttp (``connections``), which takes an eighth of the processor time of httpx's transport.
    """

    chat_path: ClassVar[str]
    accepts: ClassVar[str]
    """The Accept header: the protocol's media type of streamed answers, and JSON."""

    def __init__(self, settings: ModelSettings) -> None:
        self._settings = settings
        self._names = names_of(settings)
        self.shown_base_url = quotable(without_credentials(settings.base_url))
        self._base_url = _base_url(settings.base_url, shown=self.shown_base_url, setting=self._names.url)
        self._credentials = Credentials(settings.authorization)
        headers = {
            "accept-encoding": "identity",
            "accept": self.accepts,
            "content-type": "application/json",
            "user-agent": "holocron",
        }
        self._connections = Connections(
            self._base_url,
            tls=trusted_by(self._base_url, ca_file=settings.ca_file, setting=self._names.ca_file),
            headers=headers | self._credentials.headers,
            connect_seconds=settings.connect_seconds,
            keepalive_seconds=KEEPALIVE_SECONDS,
        )
        self._last_byte = float("-inf")
        """When the last byte of any answer arrived, in the loop's time."""
        self._snapshots = SharedAnswers(self._fetch_snapshot, keep_seconds=KEEP_SNAPSHOT_SECONDS)
        self._loaded = SharedAnswers(self._fetch_loaded, keep_seconds=KEEP_LOADED_SECONDS)

    @abstractmethod
    def body(self, request: ChatRequest) -> bytes:
        """Return the exact bytes of the request; raise InvalidInput if the prompt is not valid Unicode."""

    @abstractmethod
    def _assembler(self) -> AnswerAssembler:
        """Return an assembler for an answer in this protocol."""

    async def chat(
        self,
        body: bytes,
        *,
        sink: Callable[[bytes], object],
        job_has_own_model: bool,
        on_cancelled: Callable[[ChatAnswer], object] = lambda _: None,
    ) -> ChatAnswer:
        """Send the body returned by ``body`` and return the complete answer.

        ``sink`` receives every byte of the response's body as it arrives, including that of an error; an exception it
        raises ends the call and is raised unchanged. ``on_cancelled`` receives the answer if the call is cancelled
        after all of it had arrived. A missing model is the job's fault (ModelNotFound) if ``job_has_own_model``, else
        the server's. If a server sends nothing in time but answered other calls meanwhile, it is overloaded, because a
        server that queues requests is silent until it begins; if it answered none, the call timed out. Raises a
        RunError whose ``partial_answer`` is the part that arrived: ModelUnavailable, ModelOverloaded, ModelNotFound,
        ModelTimeout, ModelCrashed, EvidenceTooLarge, AnswerTooLarge, TruncatedOutput, InternalError.
        """
        assembler = self._assembler()
        try:
            ended_cleanly = await self._stream(body, assembler, sink=sink, job_has_own_model=job_has_own_model)
            return assembler.finish(ended_cleanly=ended_cleanly)
        except RunError as error:
            error.partial_answer = assembler.so_far()
            raise
        except asyncio.CancelledError:
            # An answer that cannot be assembled still exists as the bytes the sink received.
            with suppress(RunError):
                answer = assembler.so_far()
                if assembler.is_done:
                    on_cancelled(answer)
            raise

    async def snapshot(self, model: str, *, job_has_own_model: bool = False) -> ModelSnapshot:
        """Return the server's description of the model, at most 60 s old; raises the same errors as ``chat``.

        A model that cannot answer by a schema is treated as missing.
        """
        try:
            snapshot = await self._snapshots.get(model)
        except ModelNotFound:
            raise model_missing(model, names=self._names, job_has_own_model=job_has_own_model) from None
        if snapshot.unfit is not None:
            raise model_unfit(model, snapshot.unfit, names=self._names, job_has_own_model=job_has_own_model)
        return snapshot

    async def loaded(self, model: str) -> LoadedModel | None:
        """Return the model of that name in the server's memory, at most 2 s old; None if not loaded or unknown."""
        return await self._loaded.get(model)

    async def probe(self) -> None:
        """Return if the server answers and can use the configured model; else raise ModelUnavailable."""
        model = self._settings.model
        try:
            unfit = await self._look_at(model)
            if unfit is not None:
                raise model_unfit(model, unfit, names=self._names, job_has_own_model=False)
        except ModelUnavailable:
            raise
        except ModelNotFound as error:
            raise model_missing(model, names=self._names, job_has_own_model=False) from error
        except RunError as error:
            raise ModelUnavailable(str(error)) from error

    @abstractmethod
    async def models(self) -> tuple[str, ...]:
        """Return the sorted names of the server's models; raises the same errors as ``chat``."""

    @abstractmethod
    async def resident(self) -> tuple[str, ...] | None:
        """Return the models in the server's memory, None if the protocol does not report them; raises as ``chat``."""

    async def aclose(self) -> None:
        """Close every connection."""
        await self._snapshots.aclose()
        await self._loaded.aclose()
        await self._connections.aclose()

    @abstractmethod
    async def _look_at(self, model: str) -> str | None:
        """Return why the model cannot be used, or None if it can; raises the same errors as ``chat``."""

    @abstractmethod
    async def _fetch_snapshot(self, model: str) -> ModelSnapshot: ...

    @abstractmethod
    async def _fetch_loaded(self, model: str) -> LoadedModel | None: ...

    async def _stream(
        self, body: bytes, assembler: AnswerAssembler, *, sink: Callable[[bytes], object], job_has_own_model: bool
    ) -> bool:
        """Feed the answer to sink and assembler; return whether the response ended as HTTP requires."""
        settings = self._settings
        limits = CallLimits(
            first_byte_seconds=settings.first_byte_seconds,
            idle_seconds=settings.idle_seconds,
            whole_seconds=settings.timeout_seconds,
        )
        try:
            async with limits:
                response = await self._send("POST", self.chat_path, body)
                try:
                    if response.status_code != 200:
                        model = str(json.loads(body)["model"])
                        raise await self._refusal(response, model=model, job_has_own_model=job_has_own_model, sink=sink)
                    _refuse_encoding(response)
                    while chunk := await response.read_some():
                        self._last_byte = limits.byte_came()
                        sink(chunk)
                        assembler.feed(chunk)
                        if assembler.is_done and not response.has_ended:
                            limits.answer_came(tail_seconds=TAIL_SECONDS)
                finally:
                    response.close()
        except FOREIGN_ERRORS as error:
            if not assembler.is_done:
                raise failure_of_exception(error, names=self._names) from error
            return False
        except TimeoutError as error:
            if not limits.expired:
                raise
            if assembler.is_done:
                return False
            said = f"{self._names.server} {limits.passed}"
            if limits.waited_through(self._last_byte):
                raise ModelOverloaded(f"{said}, but answered others: {self._how_to_wait_less()}") from error
            raise ModelTimeout(said) from error
        return True

    def _how_to_wait_less(self) -> str:
        return (
            f"the call waited in its queue; set {self._names.slots} to what the server answers at once "
            "(Ollama: OLLAMA_NUM_PARALLEL), or raise OLLAMA_FIRST_BYTE_SECONDS"
        )

    async def _send(self, method: str, path: str, body: bytes | None) -> Response:
        try:
            return await self._connections.send(method, path, body)
        except FOREIGN_CONNECT_ERRORS as error:
            raise failure_of_exception(error, names=self._names) from error

    async def _control(self, method: str, path: str, *, model: str | None = None) -> dict[str, Any]:
        """Make a small call and return the JSON object it answers; {} if the server does not support the GET."""
        body = None if model is None else json.dumps({"model": model}).encode()
        received = bytearray()
        try:
            async with asyncio.timeout(min(CONTROL_SECONDS, self._settings.first_byte_seconds)):
                response = await self._send(method, path, body)
                try:
                    if response.status_code == 404 and method == "GET":
                        return {}
                    if response.status_code != 200:
                        raise await self._refusal(response, model=model or "", job_has_own_model=True)
                    _refuse_encoding(response)
                    while chunk := await response.read_some():
                        received += chunk
                        if len(received) > _MAX_CONTROL_BYTES:
                            raise ModelCrashed(f"the answer of {path} passed {_MAX_CONTROL_BYTES} bytes")
                finally:
                    response.close()
        except FOREIGN_ERRORS as error:
            raise failure_of_exception(error, names=self._names) from error
        except TimeoutError as error:
            raise ModelTimeout(f"{self._names.server} did not answer {path} in time") from error
        answer = parse_received(bytes(received))
        if not isinstance(answer, dict):
            raise ModelCrashed(f"the answer of {path} is not a JSON object")
        return answer

    async def _refusal(
        self,
        response: Response,
        *,
        model: str,
        job_has_own_model: bool,
        sink: Callable[[bytes], object] = lambda _: None,
    ) -> RunError:
        return failure_of_status(
            response.status_code,
            await read_refusal(response, credentials=self._credentials, within_seconds=TAIL_SECONDS, sink=sink),
            model=model,
            names=self._names,
            job_has_own_model=job_has_own_model,
            retry_after_seconds=retry_after_seconds(response),
        )


def _base_url(setting_value: str, *, shown: str, setting: str) -> httpx.URL:
    try:
        url = httpx.URL(setting_value)
    except (httpx.InvalidURL, ValueError) as error:
        raise ConfigurationError(f"{setting} is not a URL: {shown}") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigurationError(f"{setting} must be http://host:port or https://…: {shown}")
    if url.userinfo:
        # The settings remove credentials from the address, which is stored with every run.
        raise ConfigurationError(f"{setting} still holds credentials: {shown}")
    return url.copy_with(query=None, fragment=None)


def _refuse_encoding(response: Response) -> None:
    """Raise ModelCrashed for a compressed answer: none was requested, and a few bytes could expand to fill memory."""
    encoding = encoding_of(response)
    if encoding is not None:
        raise ModelCrashed(f"the answer came compressed ({quotable(encoding)}), which was not asked for")
