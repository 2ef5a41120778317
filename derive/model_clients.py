"""Creates the client of a model server for the protocol in its settings."""

from derive.model_servers.client import ModelClient
from derive.model_servers.settings import ModelSettings, Protocol
from derive.ollama.client import OllamaClient
from derive.openai_api.client import OpenAIClient


def open_client(settings: ModelSettings) -> ModelClient:
    """Return a client for the server of these settings; raise ConfigurationError if they are unusable."""
    return OpenAIClient(settings) if settings.protocol is Protocol.OPENAI else OllamaClient(settings)
