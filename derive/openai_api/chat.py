"""The body of ``/v1/chat/completions``. Source: OpenAI's API reference, and the servers' own pages on it."""

from derive.model_servers.chat import ChatRequest
from derive.model_servers.wire import dump_request


def body_of(request: ChatRequest) -> bytes:
    """Return the exact bytes to send; raise InvalidInput when the prompt is no Unicode text.

    The protocol has no word for the context window: ``num_ctx`` is what we count with, and the server's is its own.
    """
    options = request.options
    return dump_request(
        {
            "model": request.model,
            "messages": [{"role": "user", "content": request.prompt}],
            "stream": True,
            "stream_options": {"include_usage": True},
            "seed": options.seed,
            "temperature": options.temperature,
            "max_tokens": options.num_predict,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "answer", "strict": True, "schema": request.schema},
            },
        }
    )
