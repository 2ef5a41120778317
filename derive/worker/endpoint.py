"""One model server as a worker uses it: a client, slots, a circuit breaker and a served model of its own."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from itertools import pairwise

from derive.contracts import Claim, EndpointFacts, ModelServer, ServedModel
from derive.errors import ErrorKind, RunError
from derive.model_servers.endpoints import EndpointSettings
from derive.model_servers.models import DEFAULT_TAG
from derive.states import EndpointState
from derive.worker.attempt import Tools
from derive.worker.circuit_breaker import CircuitBreaker, pause
from derive.worker.slots import Slots

log = logging.getLogger(__name__)

LOOK_SECONDS = 15.0
"""Between two looks at what a server has; a model that was pulled there is asked for so soon."""


class WorkerEndpoint:
    """An endpoint and what belongs to it alone; ``is_only`` when the worker has no other."""

    def __init__(
        self,
        settings: EndpointSettings,
        tools: Tools,
        *,
        probe_lake: Callable[[], Awaitable[None]],
        is_only: bool,
    ) -> None:
        self.settings = settings
        self.tools = tools
        self.slots = Slots(settings.slots)
        self.circuit_breaker = CircuitBreaker(
            {
                ErrorKind.MODEL_UNAVAILABLE: tools.client.probe,
                ErrorKind.MODEL_OVERLOADED: tools.client.probe,
                ErrorKind.LAKE_UNAVAILABLE: probe_lake,
            },
            worker_id=tools.worker_id,
            endpoint=None if is_only else settings.name,
        )
        self.refusal: str | None = None
        """Why nothing could be claimed for it when it was last tried."""
        self._last_model: str | None = None
        self._takes_any_model = is_only and not settings.models
        self.listed: tuple[str, ...] | None = None
        """The models that the server lists; None: not known."""
        self.resident: tuple[str, ...] | None = None
        """Those that it has in memory; None: not known."""

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return self.settings.name

    def server(self) -> ModelServer:
        """Say whom the next claim is for."""
        models = None if self._takes_any_model else self._models()
        turns = self.tools.turns
        if turns is not None:
            return turns.server(models)
        served = None if models is None else tuple(ServedModel(model=model) for model in models)
        return ModelServer(default=self.settings.server.model, models=served, stay=None)

    def note_claims(self, claims: list[Claim]) -> int:
        """Note what a claim took; return how many times that goes from one model to another."""
        self.refusal = None
        if self.tools.turns is not None:
            self.tools.turns.note_claims(claims)
        models = [claim.model_hint or self.settings.server.model for claim in claims]
        before = [self._last_model or models[0], *models] if models else []
        if models:
            self._last_model = models[-1]
        return sum(one != other for one, other in pairwise(before))

    async def keep_looking(self, stopping: asyncio.Event) -> None:
        """Look at what the server has, now and then, until stopping."""
        while not stopping.is_set():
            if self.circuit_breaker.is_open:
                await self.look()
            await pause(LOOK_SECONDS, unless=stopping)

    async def look(self) -> None:
        """Ask what the server has; what it does not tell stays as it was told last."""
        client = self.tools.client
        try:
            self.listed = await client.models() or None
            self.resident = await client.resident()
        except RunError as error:
            log.debug("endpoint.not_seen", extra={"endpoint": self.name, "error": str(error)})

    async def look_first(self) -> None:
        """Ask what the server has where the first claim depends on it."""
        if not self._takes_any_model and not self.settings.models:
            await self.look()

    def facts(self) -> EndpointFacts:
        """Return what is reported of it. From any thread."""
        turns = self.tools.turns
        server = self.settings.server
        breaker = self.circuit_breaker
        is_at_fault = breaker.kind not in (None, ErrorKind.LAKE_UNAVAILABLE)
        if is_at_fault:
            state = EndpointState.PAUSED if breaker.is_access_refused else EndpointState.DOWN
        else:
            state = EndpointState.UP
        return EndpointFacts(
            name=self.name,
            protocol=server.protocol.value,
            address=server.base_url,
            slots=self.settings.slots,
            state=state,
            serving_model=turns.serving if turns else None,
            serving_since_utc=turns.serving_since_utc if turns else None,
            resident=self.resident,
            models=self.listed,
            last_error=breaker.why if is_at_fault else None,
        )

    def _models(self) -> tuple[str, ...]:
        """Return the models whose jobs may be claimed, under each name that a job may give them."""
        named = self.settings.models or self.listed or ()
        names = {self.settings.server.model, *named}
        latest = f":{DEFAULT_TAG}"
        names |= {name.removesuffix(latest) for name in names if name != latest}
        return tuple(sorted(name for name in names if len(name) <= MOST_NAME_CHARACTERS and name == name.strip()))


MOST_NAME_CHARACTERS = 200
"""A job can name no longer model."""
