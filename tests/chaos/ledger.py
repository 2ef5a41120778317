"""What was asked of the queue: the one thing that neither SQL nor the lake can tell."""

import threading
from dataclasses import dataclass, field
from uuid import UUID

from derive.contracts import Enqueued


@dataclass
class Ledger:
    """The jobs that the queue said it has taken, and those it answered with the holder of their key."""

    queued: set[UUID] = field(default_factory=set)
    duplicates: list[tuple[str, UUID]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, key: str | None, answer: Enqueued) -> None:
        with self._lock:
            if answer.is_duplicate and key is not None:
                self.duplicates.append((key, answer.job_id))
            else:
                self.queued.add(answer.job_id)
