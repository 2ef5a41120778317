"""A stand-in model server: Ollama's protocol on a real socket, with answers by rules, and clearly labelled as such.

The demo uses it if there is no Ollama. Its only model, its version, its license and its ``Server`` header are named
``holocron-demo``, so that nobody mistakes it for a model.
"""

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter_ns
from typing import Any

from typing_extensions import override

from derive.demo import stand_in_model as model
from derive.demo.chat import ChatText, compose, read_call
from derive.demo.ollama_server import OllamaServer
from derive.demo.ollama_wire import Exchange, chat_line, split

DEFAULT_LATENCY_SECONDS = 0.15
CHUNKS = 8


class StandIn(OllamaServer):
    """The server of the demo's one model.

    ``latency_seconds`` is the minimum duration of an answer, spread over its chunks, so that progress can be watched.
    """

    server_name = model.NAME
    version = model.VERSION
    liveness_text = model.LIVENESS_TEXT

    def __init__(self, *, port: int = 0, latency_seconds: float = DEFAULT_LATENCY_SECONDS) -> None:
        super().__init__(port=port)
        self.latency_seconds = latency_seconds
        self._loaded = model.LoadedModels()

    @override
    def tags(self) -> list[dict[str, Any]]:
        return model.tags()

    @override
    def loaded(self) -> list[dict[str, Any]]:
        return self._loaded.listed()

    @override
    def show(self, name: str) -> dict[str, Any] | None:
        return model.show_answer() if model.is_model(name) else None

    @override
    async def chat(self, exchange: Exchange, show: dict[str, Any]) -> None:
        started = perf_counter_ns()
        call = read_call(exchange.request.json)
        keep_alive = model.read_keep_alive(exchange.request.json)
        self._loaded.load(context_length=call.num_ctx, keep_alive=keep_alive)
        loaded = perf_counter_ns()
        text = compose(call)
        if text.done_reason == "load" and not keep_alive:
            text = ChatText(content="", done_reason="unload", prompt_tokens=0, output_tokens=0)
        composed = perf_counter_ns()
        if call.stream:
            exchange.head()
        async for piece in self._paced(text.content):
            if call.stream:
                exchange.line(chat_line(piece, model=call.model, created_at=model.utc_now()))
        now = perf_counter_ns()
        ending = chat_line("", model=call.model, created_at=model.utc_now(), done=True) | {
            "done_reason": text.done_reason,
            "total_duration": now - started,
            "load_duration": loaded - started,
            "prompt_eval_count": text.prompt_tokens,
            "prompt_eval_duration": composed - loaded,
            "eval_count": text.output_tokens,
            "eval_duration": now - composed,
        }
        if call.stream:
            exchange.line(ending)
            exchange.end()
        else:
            exchange.json(ending | {"message": {"role": "assistant", "content": text.content}})

    async def _paced(self, content: str) -> AsyncIterator[str]:
        """Yield the answer in pieces, with the latency spread over them."""
        pieces = split(content, CHUNKS)
        for piece in pieces:
            await asyncio.sleep(self.latency_seconds / len(pieces))
            yield piece
