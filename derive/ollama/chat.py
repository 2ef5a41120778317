"""The body of ``/api/chat``. Source: Ollama's ``docs/api.md`` and ``api/types.go``."""

import re

from derive.model_servers.chat import ChatRequest
from derive.model_servers.wire import dump_request


def body_of(request: ChatRequest) -> bytes:
    """Return the exact bytes to send; raise InvalidInput when the prompt is no Unicode text.

    ``think`` left out means true; ``truncate`` and ``shift`` left out let Ollama cut a long prompt silently.
    """
    return dump_request(
        {
            "model": request.model,
            "messages": [{"role": "user", "content": request.prompt}],
            "stream": True,
            "think": request.think,
            "truncate": False,
            "shift": False,
            "keep_alive": _keep_alive(request.keep_alive),
            "options": request.options.model_dump(),
            "format": request.schema,
        }
    )


def _keep_alive(setting: str) -> str | int:
    """Return what Ollama takes: text must be a Go duration, a bare number of seconds must be a number."""
    return int(setting) if re.fullmatch(r"-?[0-9]{1,9}", setting) else setting
