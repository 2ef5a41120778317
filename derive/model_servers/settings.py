"""How to reach and ask a model server: the ``OLLAMA_*`` variables, and an endpoint's own settings."""

from enum import StrEnum

from pydantic import SecretStr

from derive.strict_types import Frozen


class Protocol(StrEnum):
    """The protocol of a model server."""

    OLLAMA = "ollama"
    OPENAI = "openai"


class ModelSettings(Frozen):
    """Where a model server is and how it is asked. Times are seconds, ``num_*`` are tokens.

    ``base_url`` is shown and stored, so it contains no credentials; ``authorization`` is the value of the header with
    them. ``ca_file`` is a PEM file with the only trusted authorities for an https server's certificate. ``endpoint``
    is the server's name in the endpoints file, None for the server of ``OLLAMA_BASE_URL``.
    """

    endpoint: str | None = None
    protocol: Protocol = Protocol.OLLAMA
    base_url: str = "http://127.0.0.1:11434"
    authorization: SecretStr | None = None
    ca_file: str | None = None
    model: str = "llama3.2"
    num_ctx: int = 8192
    num_predict: int = 2048
    temperature: float = 0
    seed: int = 0
    keep_alive: str = "5m"
    connect_seconds: float = 5
    first_byte_seconds: float = 600
    idle_seconds: float = 60
    timeout_seconds: float = 1800
    max_answer_bytes: int = 16 * 1024 * 1024
