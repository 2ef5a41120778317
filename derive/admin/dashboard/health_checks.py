"""Health checks for the dashboard. They run on their own thread, so pages never wait for a dependency that hangs."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence

from django.db import connections

from derive.admin.lists import suggestions
from derive.endpoints_in_use import endpoints_in_use
from derive.errors import ConfigurationError, HolocronError, RunError, places_of
from derive.health import ReadinessCheck, check_all
from derive.live_versions import promoted_versions
from derive.model_clients import open_client
from derive.model_servers.endpoints import EndpointSettings
from derive.model_servers.settings import ModelSettings
from derive.models import Interrogation
from derive.schedules.health import scheduler_health

log = logging.getLogger(__name__)

KEPT_SECONDS = 10.0
PATIENCE_SECONDS = 0.1
"""How long the first page waits for the first check; later pages show the last result while the next check runs."""
PROBE_SECONDS = 2.0

Check = Callable[[], Sequence[ReadinessCheck]]


def check_model_servers() -> Sequence[ReadinessCheck]:
    """Check that each configured server answers and has the model. No other address is ever contacted."""
    try:
        endpoints = endpoints_in_use()
    except ConfigurationError as error:
        return (ReadinessCheck("endpoints", ok=False, reason=str(error)),)
    return asyncio.run(_probe_all(endpoints))


async def _probe_all(endpoints: Sequence[EndpointSettings]) -> Sequence[ReadinessCheck]:
    return await asyncio.gather(*(_look_at(endpoint) for endpoint in endpoints))


async def _look_at(endpoint: EndpointSettings) -> ReadinessCheck:
    server = endpoint.server
    name = "ollama" if server.endpoint is None else f"endpoint {server.endpoint}"
    try:
        await _probe(server)
    except (RunError, ConfigurationError) as error:
        return ReadinessCheck(name, ok=False, reason=str(error))
    except TimeoutError:
        return ReadinessCheck(name, ok=False, reason=f"did not answer within {PROBE_SECONDS:.0f} s")
    return ReadinessCheck(name, ok=True, reason=f"has {server.model}")


async def _probe(server: ModelSettings) -> None:
    limits = {"connect_seconds": PROBE_SECONDS, "first_byte_seconds": PROBE_SECONDS}
    client = open_client(server.model_copy(update=limits))
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await client.probe()
    finally:
        await client.aclose()


def check_scheduler() -> Sequence[ReadinessCheck]:
    """Check that the schedules run on time."""
    try:
        problems = scheduler_health().problems
    except HolocronError as error:
        return (ReadinessCheck("scheduler", ok=False, reason=f"cannot be read ({type(error).__name__})"),)
    return (ReadinessCheck("scheduler", ok=not problems, reason="; ".join(problems)),)


def check_interrogations() -> Sequence[ReadinessCheck]:
    """Report interrogations that no job is claimed for: broken, refused, or their live version missing; or nothing."""
    stored = Interrogation.objects.order_by("interrogation_key", "registered_utc")
    newest = {one.interrogation_key: one for one in stored.defer("prompt_template", "output_schema_json", "rubric")}
    refused = [one for one in newest.values() if one.refused_utc is not None]
    reasons = [f"{key} cannot be used: {why}" for key, why in suggestions.registry().broken.items()]
    lacking = suggestions.registry().with_promoted(promoted_versions()).lacking
    reasons += [f"{key}: {why}; its jobs wait for a worker that has it" for key, why in lacking.items()]
    reasons += [
        f"no job of {one} is claimed since {one.refused_utc:%Y-%m-%d %H:%M} UTC: {one.refused_why}" for one in refused
    ]
    return tuple(ReadinessCheck("interrogations", ok=False, reason=reason) for reason in reasons)


CHECKS: tuple[Check, ...] = (check_all, check_model_servers, check_scheduler, check_interrogations)


class HealthChecks:
    """Keeps the last results and runs at most one check at a time."""

    def __init__(self, checks: Sequence[Check] = CHECKS, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._checks = checks
        self._clock = clock
        self._lock = threading.Lock()
        self._looking: threading.Thread | None = None
        self._parts: tuple[ReadinessCheck, ...] = ()
        self._until = float("-inf")

    def parts(self) -> tuple[ReadinessCheck, ...]:
        """Return the last results, and start a new check when they are old; an empty tuple before the first one."""
        with self._lock:
            looking = self._looking
            if looking is None and self._clock() >= self._until:
                looking = self._looking = threading.Thread(target=self._look, name="health-checks", daemon=True)
                looking.start()
        if looking is not None and not self._parts:
            looking.join(PATIENCE_SECONDS)
        return self._parts

    def _look(self) -> None:
        try:
            self._parts = tuple(part for check in self._checks for part in _parts_of(check))
        finally:
            # The thread exits; close its connections.
            connections.close_all()
            with self._lock:
                self._until = self._clock() + KEPT_SECONDS
                self._looking = None


def _parts_of(check: Check) -> Sequence[ReadinessCheck]:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 (a thread's edge: what a check did not foresee is told as its failure)
        log.error("health_check.failed", extra={"check": check.__name__, "error": places_of(error)})
        return (
            ReadinessCheck(
                check.__name__.removeprefix("check_"), ok=False, reason=f"{type(error).__name__}; see the log"
            ),
        )
