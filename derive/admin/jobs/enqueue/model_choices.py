"""The models that the configured Ollama server has, for a form: a short call, cached for a while."""

import asyncio
from dataclasses import dataclass

from django.conf import settings
from django.core.cache import cache

from derive.admin.display.untrusted_text import cell
from derive.errors import ConfigurationError, RunError
from derive.model_clients import open_client
from derive.model_servers.settings import ModelSettings

CONNECT_SECONDS = 1.0
WHOLE_SECONDS = 2.0
KEEP_SECONDS = 30
MOST = 200


@dataclass(frozen=True)
class ModelChoices:
    """Names of models; ``why_not`` says why there are none."""

    names: tuple[str, ...] = ()
    why_not: str = ""


def model_choices() -> ModelChoices:
    """Return the server's models, at most 30 s old; an unreachable server is retried as rarely."""
    asked: ModelSettings = settings.OLLAMA
    key = f"model_choices:{hash(asked.base_url)}"
    known: ModelChoices | None = cache.get(key)
    if known is None:
        known = _ask(asked)
        cache.set(key, known, KEEP_SECONDS)
    return known


def _ask(asked: ModelSettings) -> ModelChoices:
    hurried = asked.model_copy(update={"connect_seconds": CONNECT_SECONDS, "first_byte_seconds": WHOLE_SECONDS})
    try:
        return ModelChoices(names=asyncio.run(_names(hurried))[:MOST])
    except (RunError, ConfigurationError) as error:
        return ModelChoices(why_not=cell(str(error), 300))


async def _names(asked: ModelSettings) -> tuple[str, ...]:
    client = open_client(asked)
    try:
        return await client.models()
    finally:
        await client.aclose()
