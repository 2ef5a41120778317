"""``manage.py check_interrogations``: whether the model server takes the schemas of the interrogations installed."""

import asyncio
import json
import sys
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from typing import Any

from django.conf import settings

from derive.errors import HolocronError, QueueError
from derive.interrogations.registry import Interrogation, Registry
from derive.management.quick_command import QuickCommand
from derive.ollama.client import OllamaClient
from derive.ollama.schema_trial import SchemaTrial
from derive.ollama.settings import OllamaSettings
from derive.queue import JobQueue

ALL_TAKEN, REFUSED, COULD_NOT_START = 0, 1, 2


class Command(QuickCommand):
    """Send each schema with a question of one token, and say what the server makes of it."""

    help = (
        "Asks the model server whether it takes each interrogation's schema, by a question of one token. Workers claim "
        "no job of a definition that is refused; what is found here, of the configured server, is what they go by. "
        "Exit codes: 0 all are taken, 1 some are refused, 2 could not start or go on."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--server", metavar="URL", help="ask this server, and tell the workers nothing")
        parser.add_argument("--json", action="store_true", help="a line of JSON for each interrogation")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Ask, say what came of it, and exit with the code."""
        ollama = settings.OLLAMA
        if given["server"]:
            ollama = ollama.model_copy(update={"base_url": given["server"]})
        try:
            interrogations = Registry.load(settings.INTERROGATIONS_FOLDER).all()
            refused = asyncio.run(self._check_all(interrogations, ollama, as_json=given["json"]))
            if not given["server"]:
                self._tell_workers(refused)
        except HolocronError as error:
            self.stderr.write(f"check_interrogations: {error}")
            sys.exit(COULD_NOT_START)
        sys.exit(REFUSED if any(refused.values()) else ALL_TAKEN)

    async def _check_all(
        self, interrogations: tuple[Interrogation, ...], ollama: OllamaSettings, *, as_json: bool
    ) -> dict[str, str | None]:
        refused: dict[str, str | None] = {}
        async for one, why in _tried(interrogations, ollama):
            refused[one.definition.definition_sha256] = why
            warnings = [str(warning) for warning in one.warnings]
            if as_json:
                fields = {"interrogation": one.key, "version": one.version, "taken": why is None, "why": why}
                self.stdout.write(json.dumps(fields | {"warnings": warnings}, ensure_ascii=False))
            else:
                lines = [f"{one.definition}: {'taken' if why is None else f'refused: {why}'}", *warnings]
                self.stdout.write("\n  ".join(lines))
        return refused

    def _tell_workers(self, refused: dict[str, str | None]) -> None:
        queue = JobQueue()
        try:
            for sha256, why in refused.items():
                queue.set_schema_refusal(sha256, why=why)
        except QueueError as error:
            self.stderr.write(f"check_interrogations: the workers could not be told: {error}")


async def _tried(
    interrogations: tuple[Interrogation, ...], ollama: OllamaSettings
) -> AsyncIterator[tuple[Interrogation, str | None]]:
    client = OllamaClient(ollama)
    try:
        trial = SchemaTrial(client, ollama)
        for one in interrogations:
            yield one, await trial.why_refused(one.definition.output_schema)
    finally:
        await client.aclose()
