"""The client of Ollama."""

from typing import ClassVar

from typing_extensions import override

from derive.model_servers.chat import ChatRequest
from derive.model_servers.client import ModelClient
from derive.model_servers.models import LoadedModel, ModelSnapshot
from derive.ollama.chat import body_of
from derive.ollama.models import read_loaded, read_names, read_snapshot, why_unfit
from derive.ollama.stream import NdjsonAssembler


class OllamaClient(ModelClient):
    """One Ollama server."""

    chat_path: ClassVar[str] = "/api/chat"
    accepts: ClassVar[str] = "application/x-ndjson, application/json"

    @override
    def body(self, request: ChatRequest) -> bytes:
        return body_of(request)

    @override
    def _assembler(self) -> NdjsonAssembler:
        return NdjsonAssembler(max_answer_bytes=self._settings.max_answer_bytes)

    @override
    async def models(self) -> tuple[str, ...]:
        return read_names(await self._control("GET", "/api/tags"))

    @override
    async def resident(self) -> tuple[str, ...] | None:
        return read_names(await self._control("GET", "/api/ps"))

    @override
    async def _look_at(self, model: str) -> str | None:
        return why_unfit(await self._control("POST", "/api/show", model=model))

    @override
    async def _fetch_snapshot(self, model: str) -> ModelSnapshot:
        show = await self._control("POST", "/api/show", model=model)
        tags = await self._control("GET", "/api/tags")
        version = await self._control("GET", "/api/version")
        return read_snapshot(model, show=show, tags=tags, version=version)

    @override
    async def _fetch_loaded(self, model: str) -> LoadedModel | None:
        return read_loaded(model, await self._control("GET", "/api/ps"))
