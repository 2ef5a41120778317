"""A chat with a model server: options, request, answer, and checks of the answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from typing import Any, Self

from pydantic import Field

from derive.errors import RunError
from derive.model_servers.models import LoadedModel, Think, same_model
from derive.model_servers.settings import ModelSettings
from derive.model_servers.wire import quotable
from derive.strict_types import MAX_INT, Frozen


class ChatOptions(Frozen):
    """Options of an answer; ``num_*`` are tokens. All are always sent, so that no server default applies."""

    num_ctx: int = Field(ge=1, le=MAX_INT, strict=True)
    num_predict: int = Field(ge=1, le=MAX_INT, strict=True)
    seed: int = Field(ge=0, le=MAX_INT, strict=True)
    temperature: float = Field(ge=0, le=100, allow_inf_nan=False)

    def to_json(self) -> str:
        """Return the value of ``run.options_json``."""
        return _options_json(self)

    @classmethod
    def from_settings(cls, settings: ModelSettings) -> Self:
        """Return the configured options."""
        return cls(
            num_ctx=settings.num_ctx,
            num_predict=settings.num_predict,
            seed=settings.seed,
            temperature=settings.temperature,
        )


@lru_cache(maxsize=64)
def _options_json(options: ChatOptions) -> str:
    """Cached, because most runs of a worker have the same options."""
    return json.dumps(options.model_dump(), separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A single user message whose answer must match ``schema``, a JSON schema in generation order.

    ``think`` comes from the model's snapshot.
    """

    model: str
    prompt: str = field(repr=False)
    schema: Mapping[str, Any] = field(repr=False)
    options: ChatOptions
    keep_alive: str
    think: Think = False


@dataclass(frozen=True, slots=True)
class ChatMetrics:
    """Six metrics under Ollama's names; durations are nanoseconds. None means that the protocol does not report it."""

    total_duration: int | None = 0
    load_duration: int | None = 0
    prompt_eval_count: int | None = 0
    prompt_eval_duration: int | None = 0
    eval_count: int | None = 0
    eval_duration: int | None = 0

    def to_json(self) -> str:
        """Return the value of ``run.metrics_json``."""
        return json.dumps({name: getattr(self, name) for name in _METRICS}, separators=(",", ":"))


_METRICS = tuple(one.name for one in fields(ChatMetrics))


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """The model's answer, or the part of it that arrived.

    ``response_json`` is the complete answer as the server returns it without streaming, empty while incomplete.
    ``time_to_first_token_ms`` and ``total_ms`` are measured by this process from the start of the call.
    ``ended_cleanly`` is false if the answer was complete but the connection did not end as HTTP requires.
    """

    content: str = field(repr=False)
    thinking: str = field(repr=False)
    done_reason: str | None
    model: str | None
    metrics: ChatMetrics
    response_json: bytes = field(repr=False)
    byte_count: int
    time_to_first_token_ms: int | None
    total_ms: int
    ended_cleanly: bool


def answer_of(error: RunError) -> ChatAnswer | None:
    """Return the part of the answer that arrived before the error; None if the model was never asked."""
    return error.partial_answer if isinstance(error.partial_answer, ChatAnswer) else None


@dataclass(frozen=True, slots=True)
class AnswerCheck:
    """One check of an answer; a failed check is recorded and does not by itself fail the run."""

    name: str
    passed: bool
    detail: str


def check_answer(
    request: ChatRequest,
    answer: ChatAnswer,
    *,
    digest: str | None,
    loaded: LoadedModel | None,
) -> tuple[AnswerCheck, ...]:
    """Compare an answer with its request: the model that answered, its context window, and unexpected members.

    ``digest`` is that of the model's snapshot, ``loaded`` is the model in the server's memory right after the call;
    their checks are skipped without them. A failed check indicates, but does not prove, that the answer is to another
    question than the one asked (the server cut the prompt, or the model was pulled again in between).
    """
    window = request.options.num_ctx
    read, written = answer.metrics.prompt_eval_count or 0, answer.metrics.eval_count or 0
    checks = [
        AnswerCheck(
            "model_name",
            answer.model is not None and same_model(answer.model, request.model),
            f"asked {request.model}, answered {quotable(answer.model or 'without a name')}",
        ),
        AnswerCheck("prompt_was_counted", read > 0, f"{read} prompt tokens"),
        AnswerCheck(
            "prompt_fits_context",
            read + written <= window and read < window,
            f"{read} + {written} tokens in a window of {window}",
        ),
        AnswerCheck("no_thinking", bool(request.think) or not answer.thinking, f"{len(answer.thinking)} characters"),
        AnswerCheck("stream_ended_cleanly", answer.ended_cleanly, f"{answer.byte_count} bytes"),
    ]
    if loaded is not None:
        checks.append(
            AnswerCheck(
                "context_length",
                loaded.context_length == window,
                f"asked {window}, loaded with {loaded.context_length}",
            )
        )
        if digest is not None:
            checks.append(
                AnswerCheck("model_digest", loaded.digest == digest, f"expected {digest}, loaded {loaded.digest}")
            )
    return tuple(checks)
