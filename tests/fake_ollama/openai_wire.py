"""The same answers in the OpenAI-compatible protocol: what ``behaviours`` say of Ollama's, as server-sent events."""

import json
from typing import Any

from derive.demo.ollama_wire import Exchange, ndjson

CHAT_PATH = "/v1/chat/completions"
MODELS_PATH = "/v1/models"
CREATED = 1_767_323_045


def speaks_openai(exchange: Exchange) -> bool:
    return exchange.request.path == CHAT_PATH


def wire_bytes(exchange: Exchange, record: dict[str, Any]) -> bytes:
    """Return a record of Ollama's stream as the protocol that was asked in has it."""
    return sse(record) if speaks_openai(exchange) else ndjson(record)


def sse(record: dict[str, Any]) -> bytes:
    if "error" in record:
        return event({"error": error_of(record["error"])})
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": CREATED, "model": record.get("model")}
    message = record.get("message")
    delta = _delta(message) if isinstance(message, dict) else message
    if not record.get("done"):
        return event(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    reason = record.get("done_reason")
    last = head | {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}
    numbers = head | {"choices": [], "usage": usage(record)}
    return event(last) + event(numbers) + b"data: [DONE]\n\n"


def in_one_piece(content: str, final: dict[str, Any]) -> dict[str, Any]:
    """Return what a server that does not stream answers."""
    message = {"role": "assistant", "content": content}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": CREATED,
        "model": final["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": final["done_reason"]}],
        "usage": usage(final),
    }


def error_of(error: object) -> object:
    return {"message": error, "type": "server_error", "code": None} if isinstance(error, str) else error


def listing(names: list[str]) -> dict[str, Any]:
    """Return what ``/v1/models`` says."""
    return {
        "object": "list",
        "data": [{"id": name, "object": "model", "created": CREATED, "owned_by": "library"} for name in names],
    }


def usage(final: dict[str, Any]) -> dict[str, Any]:
    read, written = final.get("prompt_eval_count", 0), final.get("eval_count", 0)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def event(value: Any) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode(errors="replace") + b"\n\n"


def _delta(message: dict[str, Any]) -> dict[str, Any]:
    renamed = {"thinking": "reasoning_content"}
    return {renamed.get(name, name): value for name, value in message.items()}
