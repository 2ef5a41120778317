"""Model affinity: how long a worker stays with the loaded model before it serves another.

Loading a model takes seconds to minutes, so a worker stays with one for a quantum while it has jobs. Then any other
model with jobs of the same priority comes first. So each of N models waits at most N - 1 quanta, whatever arrives.
"""

import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from types import MappingProxyType

from derive.contracts import ANY_MODEL, Claim, ModelServer, ServedModel

SHORTEST_QUANTUM_SECONDS = 60.0
LONGEST_QUANTUM_SECONDS = 900.0
QUANTUM_LOADS = 10
"""A quantum is this many load times: at most a tenth of the time is spent loading."""
LEAST_LOAD_SECONDS = 1.0
"""Anything shorter is not a load, but a check of a loaded model."""
_LOADS_KEPT = 9
_MODELS_KEPT = 200
"""How many models' last use is remembered: names come from callers."""


class ModelTurns:
    """What one worker's model server serves, and whether to stay with it; times in seconds of ``clock``.

    ``quantum_seconds`` None: ten times the measured load time, between one and fifteen minutes; until a load was
    measured here, by ``load_seconds`` of the model. ``default`` is the model of jobs that name none.
    """

    def __init__(
        self,
        default: str,
        *,
        quantum_seconds: float | None,
        load_seconds: Mapping[str, float] = MappingProxyType({}),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._default = default
        self._quantum_seconds = quantum_seconds
        self._load_seconds = load_seconds
        self._clock = clock
        self._serving: str | None = None
        self._since = 0.0
        self.serving_since_utc: datetime | None = None
        self._left: dict[str, float] = {}
        self._loads: deque[float] = deque(maxlen=_LOADS_KEPT)

    @property
    def serving(self) -> str | None:
        """The model that is served; None before the first claim."""
        return self._serving

    @property
    def quantum_seconds(self) -> float:
        """How long to stay with a model while jobs for another wait."""
        if self._quantum_seconds is not None:
            return self._quantum_seconds
        load_seconds = median(self._loads) if self._loads else self._load_seconds.get(self._serving or "", 0.0)
        return min(max(QUANTUM_LOADS * load_seconds, SHORTEST_QUANTUM_SECONDS), LONGEST_QUANTUM_SECONDS)

    def server(self, models: Collection[str] | None = None) -> ModelServer:
        """Return the model server's state for the next claim; ``models``: the only ones it may serve, None: any."""
        now = self._clock()
        left = {model: ServedModel(model=model, idle_seconds=max(now - at, 0)) for model, at in self._left.items()}
        if models is None:
            served = (ServedModel(model=ANY_MODEL), *left.values())
        else:
            served = tuple(left.get(model) or ServedModel(model=model) for model in models)
        return ModelServer(
            default=self._default,
            serving=self._serving,
            models=served,
            stay=now - self._since < self.quantum_seconds,
        )

    def note_claims(self, claims: Sequence[Claim]) -> None:
        """Record a claim: all its jobs have one model, which is served from now on."""
        if not claims:
            return
        model = claims[0].model_hint or self._default
        if model == self._serving:
            return
        now = self._clock()
        if self._serving is not None:
            self._left[self._serving] = now
        self._left.pop(model, None)
        while len(self._left) > _MODELS_KEPT:
            del self._left[min(self._left, key=lambda left: self._left[left])]
        self._serving, self._since = model, now
        self.serving_since_utc = datetime.now(UTC)

    def note_load(self, seconds: float) -> None:
        """Record how long an answer's model took to load."""
        if seconds > LEAST_LOAD_SECONDS:
            self._loads.append(seconds)
