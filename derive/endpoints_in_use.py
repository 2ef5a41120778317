"""The model servers that the settings name."""

from django.conf import settings

from derive.model_servers.endpoints import EndpointSettings, only_endpoint


def endpoints_in_use() -> tuple[EndpointSettings, ...]:
    """Return those of the endpoints file, or the one of ``OLLAMA_BASE_URL``; raise ConfigurationError if invalid."""
    return tuple(settings.ENDPOINTS) or (only_endpoint(settings.OLLAMA, slots=settings.WORKER_CONCURRENCY),)
