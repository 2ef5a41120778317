"""How the history is sealed: its horizon, the chain of seals, and where their documents are."""

from datetime import datetime

from derive.contracts import (
    Horizon,
)
from derive.queue.connection import QueueConnection
from derive.sql import procedures


class HistoryQueue(QueueConnection):
    """The queue's history, as whoever seals it sees it."""

    def seal_horizon(self) -> Horizon:
        """Return how far the history is settled: no open transaction can still add an event up to there."""
        event_seq, at_utc = self._call(procedures.SEAL_HORIZON, {})[0]
        return Horizon.model_construct(event_seq=event_seq, at_utc=at_utc)

    def record_seal(
        self,
        *,
        seal_seq: int,
        first_event_seq: int,
        last_event_seq: int,
        event_count: int,
        previous_sha256: str,
        sha256: str,
        created_utc: datetime,
        seal_json: str,
    ) -> str | None:
        """Put the next seal on record with its document; return why it was refused, None if it was not. Repeatable."""
        arguments = {
            "seal_seq": seal_seq,
            "first_event_seq": first_event_seq,
            "last_event_seq": last_event_seq,
            "event_count": event_count,
            "previous_sha256": previous_sha256,
            "sha256": sha256,
            "created_utc": created_utc,
            "seal_json": seal_json,
        }
        accepted, why = self._call(procedures.RECORD_SEAL, arguments)[0]
        return None if accepted else str(why)

    def mark_seal_stored(self, seal_seq: int, sha256: str) -> bool:
        """Say that the lake has a seal's document; return whether there is such a seal. Repeatable."""
        return bool(self._call(procedures.MARK_SEAL_STORED, {"seal_seq": seal_seq, "sha256": sha256})[0][0])
