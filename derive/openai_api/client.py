"""The client of an OpenAI-compatible server."""

from collections.abc import Callable
from typing import Any, ClassVar

from typing_extensions import override

from derive.errors import ModelAccessRefused, ModelNotFound, ModelUnavailable, RunError
from derive.model_servers.chat import ChatAnswer, ChatRequest
from derive.model_servers.client import ModelClient
from derive.model_servers.models import LoadedModel, ModelSnapshot, same_model
from derive.model_servers.settings import ModelSettings
from derive.model_servers.wire import dump_json
from derive.openai_api.chat import body_of
from derive.openai_api.stream import SseAssembler

_LISTING = "/v1/models"
_LEFT_OUT_OF_ENTRY = frozenset({"created", "permission"})
"""Made anew by some servers at each call."""


class OpenAIClient(ModelClient):
    """One server of the OpenAI-compatible protocol; its address may end with ``/v1``, as its makers write it.

    The protocol tells neither digest, version, load time nor what is in memory: those are None.
    """

    chat_path: ClassVar[str] = "/v1/chat/completions"
    accepts: ClassVar[str] = "text/event-stream, application/json"

    def __init__(self, settings: ModelSettings) -> None:
        base_url = settings.base_url.rstrip("/").removesuffix("/v1")
        super().__init__(settings.model_copy(update={"base_url": base_url}))
        self._is_access_in_doubt = False

    @override
    def body(self, request: ChatRequest) -> bytes:
        return body_of(request)

    @override
    def _assembler(self) -> SseAssembler:
        return SseAssembler(max_answer_bytes=self._settings.max_answer_bytes)

    @override
    async def chat(
        self,
        body: bytes,
        *,
        sink: Callable[[bytes], object],
        job_has_own_model: bool,
        on_cancelled: Callable[[ChatAnswer], object] = lambda _: None,
    ) -> ChatAnswer:
        try:
            return await super().chat(body, sink=sink, job_has_own_model=job_has_own_model, on_cancelled=on_cancelled)
        except ModelAccessRefused:
            self._is_access_in_doubt = True
            raise

    @override
    async def models(self) -> tuple[str, ...]:
        entries = _entries(await self._control("GET", _LISTING)) or []
        return tuple(sorted({name for entry in entries if (name := _id(entry))}))

    @override
    async def resident(self) -> tuple[str, ...] | None:
        return None

    @override
    async def _look_at(self, model: str) -> str | None:
        await self._entry(model)
        if self._is_access_in_doubt:
            await self._check_access(model)
        return None

    async def _check_access(self, model: str) -> None:
        """Raise ModelAccessRefused while the server refuses the key, which some do not want for their listing.

        A question without a message, which every server refuses as well, once it has accepted the key.
        """
        try:
            await self._control("POST", self.chat_path, model=model)
        except ModelUnavailable:
            raise
        except RunError:
            # Refused for what it is, and not for who asks.
            pass
        self._is_access_in_doubt = False

    async def _entry(self, model: str) -> dict[str, Any]:
        """Return what the server lists of the model, nothing where it has no listing; raise ModelNotFound."""
        entries = _entries(await self._control("GET", _LISTING))
        if entries is None:
            return {}
        found = next((entry for entry in entries if same_model(_id(entry), model)), None)
        if found is None:
            raise ModelNotFound(f"the server does not list {model}")
        return found

    @override
    async def _fetch_snapshot(self, model: str) -> ModelSnapshot:
        entry = await self._entry(model)
        kept = {name: value for name, value in sorted(entry.items()) if name not in _LEFT_OUT_OF_ENTRY}
        return ModelSnapshot(
            model=model, digest=None, server_version=None, think=False, unfit=None, show_json=dump_json(kept)
        )

    @override
    async def _fetch_loaded(self, model: str) -> LoadedModel | None:
        return None


def _entries(listing: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Return the models of ``/v1/models``; None for a server that has no such listing."""
    data = listing.get("data")
    return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else None


def _id(entry: dict[str, Any]) -> str:
    name = entry.get("id")
    return name if isinstance(name, str) else ""
