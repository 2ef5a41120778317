"""Why nothing may be claimed for an endpoint now, and for all of them."""

from collections.abc import Iterable, Sequence

from derive.worker.endpoint import WorkerEndpoint
from derive.worker.lease import LeaseKeeper
from derive.worker.runs import Runs


class ClaimGate:
    """Decides whether jobs may be claimed: by an endpoint's circuit breaker, by outcomes that wait, and by leases."""

    def __init__(self, endpoints: Sequence[WorkerEndpoint], *, keeper: LeaseKeeper, runs: Runs) -> None:
        self._endpoints = endpoints
        self._keeper = keeper
        self._runs = runs

    @property
    def is_open(self) -> bool:
        """Whether jobs may be claimed for any endpoint."""
        return any(self.why_not(endpoint) is None for endpoint in self._endpoints)

    def why_not(self, endpoint: WorkerEndpoint) -> str | None:
        """Return why nothing may be claimed now: model, outcomes or leases; None if it may."""
        waiting = self._why_waiting_for(endpoint)
        if waiting is not None:
            return waiting
        if not self._keeper.has_beaten:
            return "the lease keeper has not reached the database yet"
        if self._keeper.why_away is not None:
            return f"no lease could be kept: {self._keeper.why_away}"
        return None

    @property
    def why_waiting(self) -> str | None:
        """Return why no endpoint may be claimed for although the database answers. Readable from any thread."""
        return _all_reasons((endpoint.name, self._why_waiting_for(endpoint)) for endpoint in self._endpoints)

    @property
    def refusal(self) -> str | None:
        """Return why nothing could be claimed for any endpoint when it was last tried."""
        return _all_reasons((endpoint.name, endpoint.refusal) for endpoint in self._endpoints)

    def _why_waiting_for(self, endpoint: WorkerEndpoint) -> str | None:
        if not endpoint.circuit_breaker.is_open:
            return endpoint.circuit_breaker.why
        return self._runs.why_outcomes_wait


def _all_reasons(reasons: Iterable[tuple[str, str | None]]) -> str | None:
    """Return the reasons of all endpoints as one, None when one has none; a lone endpoint's as it is."""
    said = list(reasons)
    if any(why is None for _, why in said):
        return None
    return said[0][1] if len(said) == 1 else "; ".join(f"{name}: {why}" for name, why in said)
