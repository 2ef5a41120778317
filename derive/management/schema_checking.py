"""Runs ``manage.py check_interrogations`` with parsed options; exit codes as in the command."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from django.conf import settings
from django.core.management.base import OutputWrapper

from derive.endpoints_in_use import endpoints_in_use
from derive.errors import HolocronError, QueueError
from derive.interrogations.registry import LoadedInterrogation, Registry
from derive.model_clients import open_client
from derive.model_servers.schema_trial import SchemaTrial
from derive.model_servers.settings import ModelSettings
from derive.queue import JobQueue

ALL_TAKEN, REFUSED, COULD_NOT_START = 0, 1, 2


class SchemaChecking:
    """One call of the command: asks the model server about each schema and stores the result for the workers."""

    def __init__(self, *, stdout: OutputWrapper, stderr: OutputWrapper) -> None:
        self.stdout = stdout
        self.stderr = stderr

    def run(self, given: dict[str, Any]) -> int:
        """Check the schemas and print the results; return the exit code."""
        try:
            servers = [endpoint.server for endpoint in endpoints_in_use()]
            if given["server"]:
                servers = [settings.OLLAMA.model_copy(update={"base_url": given["server"]})]
            interrogations = Registry.load(settings.INTERROGATIONS_FOLDER).all()
            refused: dict[str, str | None] = {}
            for server in servers:
                found = asyncio.run(self._check_all(interrogations, server, as_json=given["json"]))
                # Refused by one server is refused: its jobs may go to any.
                refused = {sha256: refused.get(sha256) or why for sha256, why in found.items()}
            if not given["server"]:
                self._notify_workers(refused)
        except HolocronError as error:
            self.stderr.write(f"check_interrogations: {error}")
            return COULD_NOT_START
        return REFUSED if any(refused.values()) else ALL_TAKEN

    async def _check_all(
        self, interrogations: tuple[LoadedInterrogation, ...], server: ModelSettings, *, as_json: bool
    ) -> dict[str, str | None]:
        refused: dict[str, str | None] = {}
        at = {} if server.endpoint is None else {"endpoint": server.endpoint}
        async for one, why in _tried(interrogations, server):
            refused[one.definition.definition_sha256] = why
            warnings = [str(warning) for warning in one.warnings]
            if as_json:
                fields = {"interrogation": one.key, "version": one.version, "taken": why is None, "why": why}
                fields |= {"constant_tokens": one.definition.constant_tokens.beginning}
                self.stdout.write(json.dumps(fields | at | {"warnings": warnings}, ensure_ascii=False))
            else:
                where = f" by endpoint '{server.endpoint}'" if server.endpoint else ""
                lines = [
                    f"{one.definition}: {f'accepted{where}' if why is None else f'refused{where}: {why}'}",
                    *warnings,
                ]
                self.stdout.write("\n  ".join(lines))
        return refused

    def _notify_workers(self, refused: dict[str, str | None]) -> None:
        queue = JobQueue()
        try:
            for sha256, why in refused.items():
                queue.set_schema_refusal(sha256, why=why)
        except QueueError as error:
            self.stderr.write(f"check_interrogations: the result could not be stored for the workers: {error}")


async def _tried(
    interrogations: tuple[LoadedInterrogation, ...], server: ModelSettings
) -> AsyncIterator[tuple[LoadedInterrogation, str | None]]:
    client = open_client(server)
    try:
        trial = SchemaTrial(client, server)
        for one in interrogations:
            yield one, await trial.why_refused(one.definition.output_schema)
    finally:
        await client.aclose()
