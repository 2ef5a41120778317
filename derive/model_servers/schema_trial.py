"""Tests whether a server accepts a schema, with a request for one token."""

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
"""A schema that every server accepts: if it fails too, the schema under test is not the reason."""


class SchemaTrial:
    """Tests schemas on one server with the configured model and window, so that no model has to be loaded again."""

    def __init__(self, client: ModelClient, settings: ModelSettings) -> None:
        self._client = client
        self._settings = settings

    async def why_refused(self, schema: Mapping[str, Any]) -> str | None:
        """Return the server's objection to the schema, or None if it accepts it.

        A server that crashes or stops answering with this schema, but answers with another one, rejects it. Raises the
        same errors as ``ModelClient.chat`` if the schema is not the reason.
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
