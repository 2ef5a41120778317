"""A verification of the sealed history: the chain, each seal against SQL and the lake, then unexplained rows."""

import time
from collections.abc import Iterator
from uuid import UUID

from derive.lake import Lake
from derive.models import JobEvent
from derive.sealing.comparing import Comparison
from derive.sealing.findings import AuditFinding, AuditSummary
from derive.sealing.sweeping import unexplained
from derive.sealing.trusted import trusted_seals
from derive.sql.reading import reading

MAX_MEDDLED = 100_000
"""Jobs whose findings are remembered, so that none is reported twice."""


class AuditVerification:
    """One verification; iterate ``found`` once, then read ``summary``. Holds one seal in memory at a time."""

    def __init__(self, lake: Lake, *, quick: bool = False, noted: dict[int, str] | None = None) -> None:
        """Verify against this lake. ``noted``: heads by seal number that were stored elsewhere."""
        self._lake = lake
        self._quick = quick
        self._noted = noted or {}
        self.summary = AuditSummary()

    def found(self) -> Iterator[AuditFinding]:
        """Yield the findings: seal by seal, then unexplained jobs and runs.

        Raises LakeUnavailable, QueueError.
        """
        begun = time.monotonic()
        summary = self.summary
        for finding in self._all():
            summary.findings += 1
            summary.by_thing[finding.thing] += 1
            yield finding
            summary.seconds = time.monotonic() - begun
        summary.seconds = time.monotonic() - begun

    def _all(self) -> Iterator[AuditFinding]:
        # Below any possible number, so that rows inserted before the first seal are found.
        summary, after, meddled = self.summary, -(2**62), set[UUID]()
        comparison = Comparison(self._lake, summary, self._quick)
        for seal in trusted_seals(self._lake, self._noted):
            yield from seal.findings
            if seal.head:
                summary.seals += 1
                summary.seal_seq, summary.head = seal.seal_seq, seal.head
            if seal.document is not None:
                for finding in comparison.compare(seal.document, after=after):
                    if finding.job_id is not None and len(meddled) < MAX_MEDDLED:
                        meddled.add(finding.job_id)
                    yield finding
            after = max(after, seal.last_event_seq)
        yield from unexplained(meddled)
        summary.unsealed_events = reading(lambda: JobEvent.objects.filter(event_seq__gt=after).count())
