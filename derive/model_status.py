"""The status of each model: its waiting and running jobs, the endpoints that serve it, and what blocks it.

All reads are bounded.
Everything here raises QueueError.
"""

import json
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from derive.models import Endpoint, LanguageModel
from derive.plural import plural
from derive.sql import model_backlogs
from derive.sql.clock import database_now
from derive.sql.model_backlogs import COUNT_CAP, HourOfServing
from derive.sql.reading import reading
from derive.states import EndpointState

KEPT_SECONDS = 4.0
ENDPOINT_ALIVE = timedelta(seconds=120)
"""The default lease; an endpoint whose worker has been silent for longer does not count as serving."""
ENDPOINT_SHOWN = timedelta(days=1)
MAX_ENDPOINTS = 200
MAX_SETTINGS = 500
STATISTICS_HOURS = 24
RATE_HOURS = 1
"""Number of full hours before the current one over which a model's rate is measured."""
NO_MODEL = "no model asked for"


@dataclass(frozen=True, slots=True)
class ModelEndpoint:
    """A model server of a worker; ``is_alive`` means that its worker's heartbeat is recent. None means unknown."""

    row: Endpoint
    is_alive: bool
    resident: tuple[str, ...] | None
    models: tuple[str, ...] | None

    @property
    def is_up(self) -> bool:
        """Whether it serves jobs."""
        return self.is_alive and self.row.state == EndpointState.UP


@dataclass(frozen=True, slots=True)
class ModelStatus:
    """The status of one model; ``model`` None stands for jobs that ask for none. None means unknown."""

    model: str | None
    settings: LanguageModel | None
    ready: int
    """Up to COUNT_CAP + 1."""
    delayed: int
    running: int
    tokens_per_second: float | None
    waits: dict[int, int]
    ended_per_second: float
    serving_on: tuple[str, ...]
    resident_on: tuple[str, ...]
    is_served: bool
    """False only if every live endpoint lists its models and this one is not among them."""

    @property
    def name(self) -> str:
        """The model's name for display."""
        return self.model or NO_MODEL

    @property
    def is_ready_capped(self) -> bool:
        """Whether there are more ready jobs than were counted."""
        return self.ready > COUNT_CAP

    @property
    def is_paused(self) -> bool:
        """Whether an operator paused the model."""
        return self.settings is not None and self.settings.paused_utc is not None

    @property
    def drain_seconds(self) -> float | None:
        """The seconds its ready jobs take at the recent rate; None if no job ended."""
        return self.ready / self.ended_per_second if self.ended_per_second else None


@dataclass(frozen=True, slots=True)
class ModelStatuses:
    """All models and endpoints at one time."""

    models: tuple[ModelStatus, ...]
    endpoints: tuple[ModelEndpoint, ...]

    def notices(self) -> list[str]:
        """Return sentences about jobs that wait because of an operator, or because nobody has their model."""
        said = (
            _notice(one.model, one.ready, one.settings, is_served=one.is_served) for one in self.models if one.model
        )
        return [text for text in said if text]


def read_notices(now: datetime) -> list[str]:
    """Return the same sentences as ``ModelStatuses.notices``, counting only the jobs they are about."""
    alive = [endpoint for endpoint in _endpoints(now) if endpoint.is_alive]
    paused = LanguageModel.objects.filter(paused_utc__isnull=False).order_by("model")[:MAX_SETTINGS]
    settings = {row.model: row for row in reading(lambda: list(paused))}
    # The models that jobs ask for matter only if every endpoint lists its models.
    asked = model_backlogs.read_asked_models() if alive and all(one.models is not None for one in alive) else []
    unserved = {model for model in asked if not _is_served(model, alive)}
    ready = model_backlogs.count_ready(sorted({*settings, *unserved}))
    said = (
        _notice(model, amount, settings.get(model or ""), is_served=model not in unserved)
        for model, amount in ready.items()
    )
    return [text for text in said if text]


def read_model_statuses() -> ModelStatuses:
    """Read the current status of all models with a dozen short queries, and one more per model that jobs ask for."""
    now = database_now()
    hour = now.replace(minute=0, second=0, microsecond=0)
    endpoints = _endpoints(now)
    settings = {row.model: row for row in reading(lambda: list(LanguageModel.objects.all()[:MAX_SETTINGS]))}
    running, delayed = model_backlogs.count_running(), model_backlogs.count_delayed()
    named = {*settings, *model_backlogs.read_asked_models(), *(name for name in (*running, *delayed) if name)}
    ready = model_backlogs.count_ready([None, *sorted(named)])
    day = model_backlogs.read_serving(hour - timedelta(hours=STATISTICS_HOURS))
    lately = model_backlogs.read_serving(hour - timedelta(hours=RATE_HOURS))
    waits = model_backlogs.read_waits(hour - timedelta(hours=STATISTICS_HOURS))
    through = model_backlogs.read_counted_through() or now
    seconds = max((min(through, now) - hour + timedelta(hours=RATE_HOURS)).total_seconds(), 60.0)
    statuses = []
    for model, amount in ready.items():
        key = model or ""
        if model is None and not (amount or running[None] or delayed[None]):
            continue
        at = lately.get(key)
        statuses.append(
            ModelStatus(
                model=model,
                settings=settings.get(key),
                ready=amount,
                delayed=delayed[model],
                running=running[model],
                tokens_per_second=_speed(day.get(key)),
                waits=waits.get(key, {}),
                # Jobs without a model are recorded under the one that answered, so their rate comes from their claims.
                ended_per_second=(at.ended if model else at.claimed) / seconds if at else 0.0,
                serving_on=tuple(_names(e for e in endpoints if e.is_up and _is_same(e.row.serving_model, key))),
                resident_on=tuple(_names(e for e in endpoints if e.is_alive and _has(e.resident or (), key))),
                is_served=_is_served(key, [e for e in endpoints if e.is_alive]),
            )
        )
    return ModelStatuses(tuple(statuses), tuple(endpoints))


class SharedModelStatuses:
    """Caches the status of all models for some seconds; one thread reads while others get the previous result."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: ModelStatuses | None = None
        self._until = float("-inf")

    def get(self) -> ModelStatuses:
        """Return the statuses, at most KEPT_SECONDS old unless another thread is reading them."""
        known = self._known
        if known is not None and self._clock() < self._until:
            return known
        if not self._lock.acquire(blocking=known is None):
            assert known is not None  # noqa: S101 (a blocking acquire never fails)
            return known
        try:
            if self._known is None or self._clock() >= self._until:
                self._known = read_model_statuses()
                self._until = self._clock() + KEPT_SECONDS
            return self._known
        finally:
            self._lock.release()

    def forget(self) -> None:
        """Drop the cached result, after a change."""
        self._until = float("-inf")


def _notice(model: str | None, ready: int, settings: LanguageModel | None, *, is_served: bool) -> str | None:
    if not ready:
        return None
    jobs = f"more than {plural(COUNT_CAP, 'job')}" if ready > COUNT_CAP else plural(ready, "job")
    wait = "waits" if ready == 1 else "wait"
    if settings is not None and settings.paused_utc is not None:
        reason = f": {settings.pause_reason}" if settings.pause_reason else ""
        return f"{jobs} {wait} because {model} is paused by {settings.paused_by}{reason}"
    return None if is_served else f"{jobs} {wait} for {model}, which no live endpoint lists"


def _endpoints(now: datetime) -> list[ModelEndpoint]:
    rows = Endpoint.objects.filter(last_seen_utc__gte=now - ENDPOINT_SHOWN).order_by("name", "worker_id")
    return [
        ModelEndpoint(
            row=row,
            is_alive=now - row.last_seen_utc <= ENDPOINT_ALIVE,
            resident=_list(row.resident_models_json),
            models=_list(row.models_json),
        )
        for row in reading(lambda: list(rows[:MAX_ENDPOINTS]))
    ]


def _list(text: str | None) -> tuple[str, ...] | None:
    """Return the names of a stored list; None if it is not a list, since rows may be written by hand."""
    try:
        names = json.loads(text or "null")
    except (ValueError, RecursionError):
        return None
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else None


def _names(endpoints: Iterable[ModelEndpoint]) -> list[str]:
    return sorted({endpoint.row.name for endpoint in endpoints})


def _speed(hours: HourOfServing | None) -> float | None:
    return 1000 * hours.output_tokens / hours.model_ms if hours and hours.model_ms else None


def _is_served(model: str, alive: Sequence[ModelEndpoint]) -> bool:
    return not alive or any(endpoint.models is None or _has(endpoint.models, model) for endpoint in alive)


def _has(names: Iterable[str], model: str) -> bool:
    return any(_is_same(name, model) for name in names)


def _is_same(name: str | None, model: str) -> bool:
    """Whether a listed name is the model that jobs name; Ollama lists ``llama3.2`` as ``llama3.2:latest``."""
    return name is not None and name.removesuffix(":latest") == model.removesuffix(":latest")
