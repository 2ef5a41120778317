"""Ollama: what is asked, how it is sent, what comes back.

``chat`` (request, options, answer, checks) → ``client`` (HTTP, ``calls`` for time limits and shared answers) →
``stream`` (the answer put together) or ``failures`` (what went wrong, as our errors). ``models``: the snapshot.
``wire``: strict JSON, and a server's words made fit to be shown.
"""

from derive.ollama.chat import (
    AnswerCheck,
    ChatAnswer,
    ChatMetrics,
    ChatOptions,
    ChatRequest,
    answer_of,
    check_answer,
)
from derive.ollama.client import OllamaClient
from derive.ollama.models import LoadedModel, ModelSnapshot

__all__ = [
    "AnswerCheck",
    "ChatAnswer",
    "ChatMetrics",
    "ChatOptions",
    "ChatRequest",
    "LoadedModel",
    "ModelSnapshot",
    "OllamaClient",
    "answer_of",
    "check_answer",
]
