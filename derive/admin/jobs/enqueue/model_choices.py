"""The models that the configured servers have, for a form: a short call, cached for a while."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from django.core.cache import cache

from derive.admin.display.untrusted_text import cell
from derive.endpoints_in_use import endpoints_in_use
from derive.errors import ConfigurationError, RunError
from derive.model_clients import open_client
from derive.model_servers.models import same_model
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

    def lack(self, model: str) -> bool:
        """Whether no server has this model; False if that is not known."""
        return 0 < len(self.names) < MOST and not any(same_model(model, name) for name in self.names)


def model_choices() -> ModelChoices:
    """Return the servers' models, at most 30 s old; an unreachable server is retried as rarely."""
    try:
        servers = [endpoint.server for endpoint in endpoints_in_use()]
    except ConfigurationError as error:
        return ModelChoices(why_not=cell(str(error), 300))
    key = f"model_choices:{hash(tuple(server.base_url for server in servers))}"
    known: ModelChoices | None = cache.get(key)
    if known is None:
        known = asyncio.run(_ask_all(servers))
        cache.set(key, known, KEEP_SECONDS)
    return known


async def _ask_all(servers: Sequence[ModelSettings]) -> ModelChoices:
    answers = await asyncio.gather(*map(_names, servers), return_exceptions=True)
    names: set[str] = set()
    refusals = []
    for answer in answers:
        if isinstance(answer, (RunError, ConfigurationError)):
            refusals.append(str(answer))
        elif isinstance(answer, BaseException):
            raise answer
        else:
            names.update(answer)
    if names or not refusals:
        return ModelChoices(names=tuple(sorted(names)[:MOST]))
    return ModelChoices(why_not=cell("; ".join(refusals), 300))


async def _names(server: ModelSettings) -> tuple[str, ...]:
    client = open_client(
        server.model_copy(update={"connect_seconds": CONNECT_SECONDS, "first_byte_seconds": WHOLE_SECONDS})
    )
    try:
        return await client.models()
    finally:
        await client.aclose()
