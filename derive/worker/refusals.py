"""Interrogations whose jobs are not claimed: broken, of a refused schema, or with their live version not here.

Their jobs wait for a worker that can run them.
"""

import logging
import time
from collections.abc import Callable

from derive.errors import QueueError, RunError, SchemaRefused
from derive.interrogations.live_registry import LiveRegistry
from derive.live_versions import promoted_versions
from derive.models import Interrogation
from derive.queue.worker import WorkerQueue
from derive.sql.reading import reading

log = logging.getLogger(__name__)

REFRESH_SECONDS = 15.0
"""How soon a worker learns of refusals found, or cleared, by others."""

PROMOTIONS_SECONDS = 2.0
"""How soon a worker uses a version that was promoted."""


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
        self._read_at = self._promotions_read_at = float("-inf")
        self._lacking: dict[str, str] = {}

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
        """Load what changed in files and promotions, and return the keys not to claim. Raises QueueError."""
        self._interrogations.refresh()
        self._read_promotions()
        self.record()
        if self._clock() >= self._read_at + REFRESH_SECONDS:
            rows = Interrogation.objects.filter(refused_utc__isnull=False)
            self._known = frozenset(reading(lambda: list(rows.values_list("definition_sha256", flat=True))))
            self._read_at = self._clock()
        refused_sha256 = self._known | self._unrecorded.keys()
        registry = self._interrogations.current
        refused = {one.key for one in registry.live() if one.definition.definition_sha256 in refused_sha256}
        return frozenset(refused | registry.broken.keys() | registry.lacking.keys())

    def _read_promotions(self) -> None:
        if self._clock() >= self._promotions_read_at + PROMOTIONS_SECONDS:
            self._interrogations.promote(promoted_versions())
            self._promotions_read_at = self._clock()
        lacking = dict(self._interrogations.current.lacking)
        for key, why in lacking.items():
            if key not in self._lacking:
                log.error("worker.live_version_missing", extra={"interrogation_key": key, "error": why})
        self._lacking = lacking
