"""Asks a server whether it takes a schema, by a question of one token."""

from collections.abc import Mapping
from typing import Any

from derive.errors import ModelCrashed, ModelTimeout, SchemaRefused, TruncatedOutput
from derive.model_servers.chat import ChatOptions, ChatRequest
from derive.model_servers.client import ModelClient
from derive.model_servers.settings import ModelSettings

PLAIN_SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "boolean"}},
    "required": ["a"],
    "additionalProperties": False,
}
"""What every server takes: one that does not answer to this fails whatever the schema."""


class SchemaTrial:
    """Tries schemas on one server, with the configured model and window, so that no model is loaded anew."""

    def __init__(self, client: ModelClient, settings: ModelSettings) -> None:
        self._client = client
        self._settings = settings

    async def why_refused(self, schema: Mapping[str, Any]) -> str | None:
        """Return what the server says against the schema, None when it takes it.

        Raises what ``ModelClient.chat`` raises where the schema is not the reason. A server that ends or falls silent
        over the schema, and answers to another one, refuses it.
        """
        try:
            await self._ask(schema)
        except SchemaRefused as error:
            return str(error)
        except (ModelCrashed, ModelTimeout) as error:
            await self._ask(PLAIN_SCHEMA)
            return f"the server fails over it, and answers to another: {error}"
        return None

    async def _ask(self, schema: Mapping[str, Any]) -> None:
        options = ChatOptions.from_settings(self._settings).model_copy(update={"num_predict": 1})
        request = ChatRequest(
            model=self._settings.model,
            prompt="Answer.",
            schema=schema,
            options=options,
            keep_alive=self._settings.keep_alive,
        )
        try:
            await self._client.chat(self._client.body(request), sink=lambda _: None, job_has_own_model=False)
        except TruncatedOutput:
            return
