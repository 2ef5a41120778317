"""A verification: reads runs in batches, checks them concurrently, and looks for orphans at the end."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future

from derive.interrogations.definition import Definition
from derive.lake import Lake
from derive.verify.checkers import Checkers
from derive.verify.findings import Finding, Orphan, RunResult, VerificationSummary
from derive.verify.orphans import find_orphans
from derive.verify.reading import RunSelection, run_status, stored_definitions, stored_runs
from derive.verify.stored import StoredRun

CHUNK_RUNS = 20


class Verification:
    """One verification of the selected runs; iterate ``found`` once, then read ``summary``."""

    def __init__(
        self,
        lake: Lake,
        checkers: Checkers,
        *,
        selection: RunSelection,
        on_progress: Callable[[VerificationSummary], None] = lambda _: None,
    ) -> None:
        self._lake = lake
        self._checkers = checkers
        self._selection = selection
        self._on_progress = on_progress
        self.summary = VerificationSummary()

    def found(self) -> Iterator[Finding | Orphan]:
        """Yield findings in the order of the runs, then orphans.

        Orphans are searched only if more than one run is verified. Raises LakeUnavailable, QueueError, CheckersLost.
        """
        begun = time.monotonic()
        summary = self.summary
        for result in self._results():
            summary.runs += 1
            summary.files += result.files
            summary.bytes_read += result.bytes_read
            for finding in _still_true(result):
                summary.findings += 1
                summary.by_check[finding.check.value] += 1
                yield finding
            summary.seconds = time.monotonic() - begun
            self._on_progress(summary)
        if self._selection.run_id is None:
            for orphan in find_orphans(self._lake, self._selection.since, self._selection.shard):
                summary.orphans += 1
                yield orphan
        summary.seconds = time.monotonic() - begun

    def _results(self) -> Iterator[RunResult]:
        """Yield results in order, with a bounded number of chunks in progress."""
        waiting: deque[Future[list[RunResult]]] = deque()
        try:
            for runs, definitions in self._chunks():
                waiting.append(self._checkers.check_all(runs, definitions))
                if len(waiting) >= self._checkers.ahead:
                    yield from self._checkers.result_of(waiting.popleft())
            while waiting:
                yield from self._checkers.result_of(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()

    def _chunks(self) -> Iterator[tuple[list[StoredRun], dict[str, Definition]]]:
        definitions = stored_definitions()
        for batch in stored_runs(self._selection):
            if any(run.definition_sha256 and run.definition_sha256 not in definitions for run in batch):
                # A definition was registered in the meantime.
                definitions = stored_definitions()
            for start in range(0, len(batch), CHUNK_RUNS):
                runs = batch[start : start + CHUNK_RUNS]
                yield runs, _definitions_of(runs, definitions)


def _definitions_of(runs: list[StoredRun], definitions: dict[str, Definition]) -> dict[str, Definition]:
    """Return the definitions these runs may have used, even if one of their columns was changed."""
    keys = {run.interrogation_key for run in runs}
    hashes = {run.definition_sha256 for run in runs}
    return {
        sha256: definition
        for sha256, definition in definitions.items()
        if sha256 in hashes or definition.interrogation_key in keys
    }


def _still_true(result: RunResult) -> tuple[Finding, ...]:
    """Return a run's findings; none if it was purged in the meantime, since its files went with it."""
    if result.findings and run_status(result.run_id) is None:
        return ()
    return result.findings
