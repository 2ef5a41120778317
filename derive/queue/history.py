"""Procedures for sealing the history and for storing the facts of earlier runs."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from django.db.models import Exists, OuterRef

from derive.contracts import Horizon, JudgedFact, Rebuilt
from derive.models import FactSet, Run
from derive.queue.connection import QueueConnection
from derive.sql import payloads, procedures
from derive.sql.reading import reading
from derive.states import RunStatus


class HistoryQueue(QueueConnection):
    """The procedures that seal the queue's history."""

    def seal_horizon(self) -> Horizon:
        """Return how far the history is settled: no open transaction can add events up to there."""
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
        """Record the next seal with its document; return why it was refused, or None. Repeatable."""
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
        """Mark a seal's document as stored in the lake; return whether the seal exists. Repeatable."""
        return bool(self._call(procedures.MARK_SEAL_STORED, {"seal_seq": seal_seq, "sha256": sha256})[0][0])

    def rebuild_facts(self, run_id: UUID, facts: Sequence[JudgedFact], *, actor: str) -> Rebuilt:
        """Replace the facts of a SUCCEEDED run; other runs are refused. Repeatable.

        A fact with the same ``fact_index``, value and quote as a stored one keeps its id and review.
        """
        arguments = {"run_id": run_id, "facts_json": payloads.facts_json(facts), "actor": actor}
        stored, fact_count, why = self._call(procedures.REBUILD_FACTS, arguments)[0]
        return Rebuilt(stored=bool(stored), fact_count=fact_count, why=why)

    def runs_without_facts(self, *, after_run_seq: int = 0, limit: int = 500) -> list[tuple[int, UUID]]:
        """Return number and id of SUCCEEDED runs without stored facts, by number, after ``after_run_seq``.

        Runs whose answer has no facts are excluded once that was recorded.
        """
        stored = FactSet.objects.using(self._using).filter(run_id=OuterRef("run_id"))
        runs = (
            Run.objects.using(self._using)
            .filter(status=RunStatus.SUCCEEDED, run_seq__gt=after_run_seq)
            .exclude(Exists(stored))
            .order_by("run_seq")
            .values_list("run_seq", "run_id")[:limit]
        )
        return reading(lambda: list(runs))
