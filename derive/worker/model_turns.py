"""Whose turn it is on a model server: how long to stay with the model that is loaded before another is served.

Loading a model takes seconds to minutes, so a worker stays with one while it has jobs, for a quantum. Then any other
model with jobs of the same priority is served first. So each of N models waits for N - 1 quanta at most, whatever
arrives meanwhile.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from types import MappingProxyType

from derive.contracts import ANY_MODEL, Claim, ModelServer, ServedModel

SHORTEST_QUANTUM_SECONDS = 60.0
LONGEST_QUANTUM_SECONDS = 900.0
QUANTUM_LOADS = 10
"""A quantum is so many times as long as loading takes: a tenth of the time at most is spent on loading."""
LEAST_LOAD_SECONDS = 1.0
"""What is shorter is no loading of a model, but a look at one that is there."""
_LOADS_KEPT = 9
_MODELS_KEPT = 200
"""Of which it is known when they were last served: names come from whoever enqueues."""


class ModelTurns:
    """What one worker's model server serves, and whether to stay with it; times in seconds of ``clock``.

    ``quantum_seconds`` None: ten times the load time as measured, between one minute and fifteen; until a load was
    seen here, as ``load_seconds`` says of the model. ``default`` is what a job without a model is answered by.
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
        self._left: dict[str, float] = {}
        self._loads: deque[float] = deque(maxlen=_LOADS_KEPT)

    @property
    def quantum_seconds(self) -> float:
        """How long to stay with a model while another one waits."""
        if self._quantum_seconds is not None:
            return self._quantum_seconds
        load_seconds = median(self._loads) if self._loads else self._load_seconds.get(self._serving or "", 0.0)
        return min(max(QUANTUM_LOADS * load_seconds, SHORTEST_QUANTUM_SECONDS), LONGEST_QUANTUM_SECONDS)

    def server(self) -> ModelServer:
        """Say whom the next claim is for."""
        now = self._clock()
        left = [ServedModel(model=model, idle_seconds=max(now - at, 0)) for model, at in self._left.items()]
        return ModelServer(
            default=self._default,
            serving=self._serving,
            models=(ServedModel(model=ANY_MODEL), *left),
            stay=now - self._since < self.quantum_seconds,
        )

    def note_claims(self, claims: Sequence[Claim]) -> None:
        """Note what a claim took: it is all of one model, which is served from now on."""
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

    def note_load(self, seconds: float) -> None:
        """Note how long an answer's model took to load."""
        if seconds > LEAST_LOAD_SECONDS:
            self._loads.append(seconds)
