"""Procedures for people who review facts."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

from derive.contracts import ClaimedFact, FactDecision, Reviewed
from derive.queue.connection import QueueConnection, given
from derive.sql import payloads, procedures
from derive.sql.calls import Row, as_guid
from derive.states import ReviewStatus

CLAIM_SECONDS = 300
"""How long a reviewer holds a fact; enough to read its evidence, short enough for a browser that was closed."""


class ReviewQueue(QueueConnection):
    """The facts that wait for a decision, and the decisions."""

    def claim_facts(self, *, actor: str, max_facts: int = 1, seconds: int = CLAIM_SECONDS) -> list[ClaimedFact]:
        """Claim the next facts to review, by the priority of their jobs, the oldest first.

        No fact goes to two people at once. Facts that this person holds or has an opinion on are left out, so another
        call continues behind the facts of the one before.
        """
        arguments = {"actor": actor, "max_facts": max_facts, "claim_seconds": seconds}
        return [_claimed(row) for row in self._call(procedures.CLAIM_FACTS, arguments)]

    def claim_fact(self, fact_id: UUID, *, actor: str, seconds: int = CLAIM_SECONDS) -> ClaimedFact | None:
        """Claim this fact, whatever its state, unless somebody else holds it; return who does. None: no such fact."""
        arguments = {"actor": actor, "claim_seconds": seconds, "fact_id": fact_id}
        rows = self._call(procedures.CLAIM_FACTS, arguments)
        return _claimed(rows[0]) if rows else None

    def review_facts(
        self, decisions: Sequence[FactDecision], *, actor: str, reason: str | None = None
    ) -> list[Reviewed]:
        """Record up to 100 decisions in one transaction and return what became of each, in order.

        A decision is refused, with why, if somebody else has claimed the fact, or has decided on it and no reason is
        given. Raises BadArgument.
        """
        arguments = given(decisions_json=payloads.decisions_json(decisions), actor=actor, reason=reason)
        rows = self._call(procedures.REVIEW_FACTS, arguments)
        return [_reviewed(row) for row in sorted(rows, key=lambda row: int(row[0]))]

    def set_review_policy(
        self,
        interrogation_key: str,
        *,
        actor: str,
        sample_percent: Decimal | None = None,
        reviewers: int | None = None,
        reason: str | None = None,
    ) -> bool:
        """Set the share of admitted facts that are reviewed (0 to 100) and the number of reviewers (1 or 2).

        None leaves a value as it is. Returns whether anything changed. Affects facts stored, and decisions made, from
        now on. Raises BadArgument.
        """
        arguments = given(
            interrogation_key=interrogation_key,
            actor=actor,
            sample_percent=sample_percent,
            reviewers=reviewers,
            reason=reason,
        )
        return bool(self._call(procedures.SET_REVIEW_POLICY, arguments)[0][0])


def _claimed(row: Row) -> ClaimedFact:
    fact_seq, fact_id, claimed_by, claim_expires_utc = row
    return ClaimedFact.model_construct(
        fact_seq=fact_seq, fact_id=as_guid(fact_id), claimed_by=claimed_by, claim_expires_utc=claim_expires_utc
    )


def _reviewed(row: Row) -> Reviewed:
    _n, fact_id, changed, from_status, to_status, why = row
    return Reviewed.model_construct(
        fact_id=None if fact_id is None else as_guid(fact_id),
        changed=bool(changed),
        from_status=_status(from_status),
        to_status=_status(to_status),
        why=why,
    )


def _status(value: Any) -> ReviewStatus | None:
    return None if value is None else ReviewStatus(value)
