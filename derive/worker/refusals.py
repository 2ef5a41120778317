"""Interrogations whose jobs are not claimed, since each would fail: they are broken, or their schema is refused."""

import logging
import time
from collections.abc import Callable

from derive.errors import QueueError, RunError, SchemaRefused
from derive.interrogations.live_registry import LiveRegistry
from derive.models import Interrogation
from derive.queue.worker import WorkerQueue
from derive.sql.reading import reading

log = logging.getLogger(__name__)

REFRESH_SECONDS = 15.0
"""How soon a worker learns of refusals found, or cleared, by others."""


class Refusals:
    """The broken and refused ones among a worker's interrogations; refusals are shared through SQL.

    ``note`` is called on the event loop; ``record`` and ``keys`` on the thread that owns the queue's connection.
    """

    def __init__(
        self,
        interrogations: LiveRegistry,
        *,
        queue: WorkerQueue,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._interrogations = interrogations
        self._queue = queue
        self._clock = clock
        self._unrecorded: dict[str, str] = {}
        self._known: frozenset[str] = frozenset()
        self._read_at = float("-inf")

    def note(self, error: RunError) -> None:
        """Remember a refusal as soon as a run finds it."""
        if isinstance(error, SchemaRefused) and error.definition_sha256 is not None:
            self._unrecorded[error.definition_sha256] = str(error)

    def record(self) -> None:
        """Write refusals that this worker found to SQL; failures are retried before the next claim."""
        for sha256, why in list(self._unrecorded.items()):
            try:
                changed = self._queue.set_schema_refusal(sha256, why=why)
            except QueueError as error:
                log.warning("worker.refusal_not_recorded", extra={"definition_sha256": sha256, "error": str(error)})
                return
            if changed:
                log.error("worker.schema_refused", extra={"definition_sha256": sha256, "error": why})
            self._known |= {sha256}
            self._unrecorded.pop(sha256, None)

    def keys(self) -> frozenset[str]:
        """Load the interrogations whose files changed, and return the keys not to claim. Raises QueueError."""
        self._interrogations.refresh()
        self.record()
        if self._clock() >= self._read_at + REFRESH_SECONDS:
            rows = Interrogation.objects.filter(refused_utc__isnull=False)
            self._known = frozenset(reading(lambda: list(rows.values_list("definition_sha256", flat=True))))
            self._read_at = self._clock()
        refused_sha256 = self._known | self._unrecorded.keys()
        registry = self._interrogations.current
        refused = {one.key for one in registry.all() if one.definition.definition_sha256 in refused_sha256}
        return frozenset(refused | registry.broken.keys())
