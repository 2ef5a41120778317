"""One call of ``/api/chat`` to the stand-in: validates the request, and cuts the answer to its budget.

Tokens are counted as bytes of UTF-8 divided by four, rounded up, which is roughly right for English.
"""

from dataclasses import dataclass
from typing import Any

from derive.demo.answering import answer
from derive.demo.ollama_wire import BadRequest

DEFAULT_NUM_CTX = 4096
BYTES_PER_TOKEN = 4
_OPTION_TYPES: dict[str, tuple[type, ...]] = {
    "num_ctx": (int,),
    "num_predict": (int,),
    "seed": (int,),
    "temperature": (int, float),
    "top_k": (int,),
    "top_p": (int, float),
    "repeat_penalty": (int, float),
}
"""As in Ollama, a wrong type is an error, and options not listed here are ignored."""


@dataclass(frozen=True)
class ChatCall:
    """A validated request. ``num_*`` are tokens; a negative ``num_predict`` means no limit."""

    model: str
    prompt: str
    stream: bool
    schema: dict[str, Any] | None
    num_ctx: int
    num_predict: int


@dataclass(frozen=True)
class ChatText:
    """The answer: its text, cut to the budget, and why it ended (``stop`` or ``length``)."""

    content: str
    done_reason: str
    prompt_tokens: int
    output_tokens: int


def read_call(body: Any) -> ChatCall:
    """Validate a request's members; raise BadRequest if one is invalid."""
    if not isinstance(body, dict):
        raise BadRequest("the request must be a JSON object")
    options = {} if body.get("options") is None else body["options"]
    if not isinstance(options, dict):
        raise BadRequest("options must be an object")
    for name, kinds in _OPTION_TYPES.items():
        value = options.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, kinds)):
            raise BadRequest(f"option {name!r} must be of type {kinds[0].__name__}")
    if body.get("think"):
        raise BadRequest(f"{body.get('model')!r} does not support thinking")
    if not isinstance(body.get("stream", True), bool):
        raise BadRequest("stream must be true or false")
    num_ctx = options.get("num_ctx") or DEFAULT_NUM_CTX
    return ChatCall(
        model=_model_name(body),
        prompt=_within_context(_prompt(body), num_ctx, truncate=body.get("truncate") is not False),
        stream=body.get("stream", True),
        schema=_schema(body.get("format")),
        num_ctx=num_ctx,
        num_predict=-1 if options.get("num_predict") is None else options["num_predict"],
    )


def compose(call: ChatCall) -> ChatText:
    """Answer the call within its budget: ``num_predict``, and the part of ``num_ctx`` that the prompt leaves.

    Raises BadRequest if the schema cannot be filled.
    """
    prompt_tokens = count_tokens(call.prompt)
    if not call.prompt:
        return ChatText(content="", done_reason="load", prompt_tokens=0, output_tokens=0)
    try:
        content = answer(call.prompt, call.schema)
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        # A schema can be any JSON, so a keyword's value may have a wrong type, which fails on first use.
        raise BadRequest(f"invalid JSON schema in format: {error}") from error
    budget = call.num_ctx - prompt_tokens
    if call.num_predict >= 0:
        budget = min(budget, call.num_predict)
    whole = count_tokens(content)
    if whole <= budget:
        return ChatText(content=content, done_reason="stop", prompt_tokens=prompt_tokens, output_tokens=whole)
    kept = content.encode()[: budget * BYTES_PER_TOKEN].decode(errors="ignore")
    return ChatText(content=kept, done_reason="length", prompt_tokens=prompt_tokens, output_tokens=budget)


def count_tokens(text: str) -> int:
    """Return the stand-in's token count of the text."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def _model_name(body: dict[str, Any]) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("model is required")
    return model


def _prompt(body: dict[str, Any]) -> str:
    messages = body.get("messages") or []
    if not isinstance(messages, list):
        raise BadRequest("messages must be a list")
    contents: list[str] = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, str):
            raise BadRequest("a message must be an object whose content is text")
        contents.append(content)
    prompt = "\n".join(contents)
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise BadRequest("a message holds half of a surrogate pair") from error
    return prompt


def _within_context(prompt: str, num_ctx: int, *, truncate: bool) -> str:
    """Return the prompt, or its end if it may be cut; Ollama also cuts prompts unless told not to."""
    if count_tokens(prompt) < num_ctx:
        return prompt
    if not truncate:
        raise BadRequest(f"the prompt is too long: it exceeds the context length of {num_ctx} tokens")
    return prompt.encode()[-(num_ctx - 1) * BYTES_PER_TOKEN :].decode(errors="ignore")


def _schema(wanted: Any) -> dict[str, Any] | None:
    if wanted in (None, ""):
        return None
    if wanted == "json":
        return {"type": "object"}
    if not isinstance(wanted, dict):
        raise BadRequest('format must be "json" or a JSON schema object')
    return wanted
