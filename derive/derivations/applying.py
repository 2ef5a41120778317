"""Queues what a derivation lacks, as a batch, within its rate, depth and budget.

Repeating it queues nothing twice, at once or after a kill: a job's id is made of what is asked, and a subject's row and
its job are written in one transaction.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from itertools import islice
from uuid import UUID

from derive.batch_contracts import BatchInput
from derive.contracts import JobInput
from derive.derivation_contracts import Declaration, SubjectChange
from derive.derivations.comparison import Difference, DifferenceKind, SourceComparison
from derive.derivations.declarations import Declared, record
from derive.derivations.wanted import Refused, Wanted
from derive.errors import HolocronError
from derive.models import Batch, Derivation, Subject
from derive.queue import JobQueue
from derive.queue.derivations import SUBJECTS_AT_ONCE
from derive.sources.contract import Source, Unreadable
from derive.sources.registry import load_sources
from derive.sql.clock import database_now
from derive.sql.reading import reading
from derive.states import StaleBecause, SubjectState

MAX_CALL_CHARACTERS = 4 * 1024 * 1024
"""Evidence of one call; subjects with long texts come in smaller ones."""
SETTLED = frozenset({SubjectState.QUEUED, SubjectState.CURRENT, SubjectState.FAILED})
"""States of a subject that need no telling while it is as it was asked."""
ACTIVE = frozenset({DifferenceKind.NEW, DifferenceKind.CHANGED, DifferenceKind.STALE})


class NotApplied(HolocronError):
    """A derivation is not applied now; the message says why and what to do."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one call; None: the declaration's. ``max_jobs`` bounds the jobs it queues."""

    max_jobs: int | None = None
    budget_tokens: int | None = None
    budget_model_seconds: int | None = None


@dataclass(kw_only=True)
class Applied:
    """What one call did. ``left``: subjects that a limit, or a stop, left to the next call."""

    queued: int = 0
    retired: int = 0
    left: int = 0
    unreadable: int = 0
    left_out: int = 0
    batch_id: UUID | None = None
    is_stopped: bool = False
    why: str | None = None
    """Why not all was queued."""
    shown: list[Unreadable] = field(default_factory=list)


def batch_name(key: str) -> str:
    """Return the name of a derivation's batches."""
    return f"derivation {key}"


def apply_derivation(
    declared: Declared,
    queue: JobQueue,
    *,
    actor: str,
    reason: str | None = None,
    limits: Limits | None = None,
    stop_asked: Callable[[], bool] = lambda: False,
    source: Source | None = None,
) -> Applied:
    """Queue what the derivation lacks, within its limits; record what is stale, gone or left out.

    Raises NotApplied while it or its batch is paused, and what ``make_plan`` raises. What was queued until then stays.
    """
    declaration = declared.usable()
    source = source or load_sources().get(declaration.source)
    wanted = Wanted.of(declared.key, declaration)
    row = record(declared, queue, actor=actor)
    if row.paused_utc is not None:
        raise NotApplied(f"{declared.key} is paused by {row.paused_by}: resume it first")
    settle(queue)
    call = _Call(row, declaration, wanted, queue, actor=actor, reason=reason, limits=limits or Limits())
    call.check_batch()
    with SourceComparison(source, wanted, row.derivation_seq) as comparison:
        comparison.read()
        for one in comparison.differences(reads_stale=True):
            if stop_asked():
                call.done.is_stopped = True
                break
            call.take(one, comparison)
        call.flush()
        if not call.done.is_stopped:
            call.retire(comparison.gone())
        call.done.unreadable, call.done.left_out = comparison.unreadable, comparison.left_out
        call.done.shown = comparison.shown
    call.finish()
    return call.done


def settle(queue: JobQueue) -> None:
    """Bring subjects to the states of jobs whose events are counted."""
    while (settled := queue.settle_subjects()) is not None and not settled.is_caught_up:
        pass


class _Call:
    """One application on its way."""

    def __init__(
        self,
        row: Derivation,
        declaration: Declaration,
        wanted: Wanted,
        queue: JobQueue,
        *,
        actor: str,
        reason: str | None,
        limits: Limits,
    ) -> None:
        self._row = row
        self._key = row.derivation_key
        self._declaration = declaration
        self._wanted = wanted
        self._queue = queue
        self._actor = actor
        self._reason = reason
        self._limits = limits
        self._changes: list[SubjectChange] = []
        self._jobs: list[JobInput] = []
        self._characters = 0
        self._room = self._depth_left()
        self._pace = _Pace(declaration.rate_per_minute, row.paced_until_utc)
        self.done = Applied()

    def check_batch(self) -> None:
        """Raise NotApplied while the derivation's batch takes no jobs."""
        batch = self._open_batch_row()
        if batch is not None and batch.cancelled_utc is not None:
            raise NotApplied(f"the batch '{batch.name}' was cancelled and has not ended yet: wait until it has")
        if batch is not None and batch.paused_utc is not None:
            raise NotApplied(f"the batch '{batch.name}' is paused ({batch.pause_reason}): resume it first")

    def take(self, one: Difference, comparison: SourceComparison) -> None:
        """Note one difference, and queue its job if there is room."""
        if one.kind in ACTIVE:
            if one.evidence is None or self._is_full(one):
                self.done.left += 1
                self._note(one)
            else:
                self._ask(one, comparison)
        elif one.kind is DifferenceKind.AS_ASKED and not (one.has_same_token and one.state in SETTLED):
            self._add(_change(one, SubjectState.CURRENT, change_token=one.token))
        elif one.kind is DifferenceKind.LEFT_OUT:
            self.done.retired += one.state not in {None, SubjectState.RETIRED}
            self._add(_change(one, SubjectState.RETIRED, change_token=one.token, why=one.why))

    def retire(self, gone: Iterator[tuple[str, str, str | None]]) -> None:
        """Retire what is no longer in the source."""
        while page := list(islice(gone, SUBJECTS_AT_ONCE)):
            for kind, name, why in page:
                self._add(SubjectChange(entity_type=kind, entity_id=name, state=SubjectState.RETIRED, why=why))
            self.done.retired += len(page)
            self.flush()

    def flush(self) -> None:
        """Write what was taken so far, in one transaction."""
        if not self._changes:
            return
        if self._jobs and self.done.batch_id is None:
            self.done.batch_id = self._open_batch()
        self._queue.set_subjects(
            self._key,
            self._changes,
            actor=self._actor,
            jobs=self._jobs,
            batch_id=self.done.batch_id if self._jobs else None,
            reason=self._reason,
        )
        self.done.queued += len(self._jobs)
        if self._jobs and self._pace.until_utc is not None:
            self._queue.mark_derivation(self._key, actor=self._actor, paced_until_utc=self._pace.until_utc)
        self._changes, self._jobs, self._characters = [], [], 0
        self._room = self._depth_left()

    def finish(self) -> None:
        """Record how far it came; let the batch end unless the next call is to add to it."""
        is_whole = not self.done.is_stopped
        self._queue.mark_derivation(
            self._key, actor=self._actor, planned=is_whole, applied=is_whole and not self.done.left
        )
        batch = self._open_batch_row()
        if batch is not None and batch.filled_utc is None and (not self.done.left or self._limits.max_jobs is not None):
            self._queue.fill_batch(batch.batch_id, actor=self._actor)

    def _ask(self, one: Difference, comparison: SourceComparison) -> None:
        assert one.evidence is not None  # noqa: S101 (told by the caller)
        sha256 = one.evidence.evidence_sha256
        job_id = self._wanted.job_id(one.subject, evidence_sha256=sha256, asks=one.asks)
        try:
            job = self._wanted.job(one.subject, one.evidence, job_id=job_id, available_utc=self._pace.next())
        except (Refused, ValueError) as error:
            comparison.note_unreadable(Unreadable(one.subject.address, str(error), one.subject))
            return
        self._jobs.append(job)
        self._characters += one.evidence.characters
        self._add(
            _change(
                one,
                SubjectState.QUEUED,
                change_token=one.token,
                evidence_sha256=sha256,
                definition_sha256=self._wanted.definition_sha256,
                model=self._wanted.model,
                job_id=job_id,
            )
        )

    def _note(self, one: Difference) -> None:
        if one.kind is DifferenceKind.NEW:
            self._add(_change(one, SubjectState.MISSING))
        elif one.because not in {None, StaleBecause.ASKED}:
            self._add(_change(one, SubjectState.STALE, stale_because=one.because))

    def _add(self, change: SubjectChange) -> None:
        self._changes.append(change)
        if len(self._changes) >= SUBJECTS_AT_ONCE or self._characters >= MAX_CALL_CHARACTERS:
            self.flush()

    def _is_full(self, one: Difference) -> bool:
        coming = self.done.queued + len(self._jobs)
        if self._limits.max_jobs is not None and coming >= self._limits.max_jobs:
            self.done.why = f"{self._limits.max_jobs} jobs were to be queued at most"
            return True
        # One that waits already takes the place it has.
        if self._room is not None and len(self._jobs) >= self._room and one.state is not SubjectState.QUEUED:
            self.done.why = f"the depth limit of {self._declaration.depth_limit} unfinished jobs is reached"
            return True
        return False

    def _depth_left(self) -> int | None:
        limit = self._declaration.depth_limit
        if limit is None:
            return None
        queued = Subject.objects.filter(derivation_seq=self._row.derivation_seq, state=SubjectState.QUEUED)
        return max(0, limit - reading(queued[:limit].count))

    def _open_batch(self) -> UUID:
        limits, own = self._limits, self._declaration
        batch = BatchInput(
            name=batch_name(self._key),
            budget_tokens=limits.budget_tokens or own.budget_tokens,
            budget_model_seconds=limits.budget_model_seconds or own.budget_model_seconds,
            derivation_key=self._key,
        )
        return self._queue.open_batch(batch, actor=self._actor, reason=self._reason).batch_id

    def _open_batch_row(self) -> Batch | None:
        open_ones = Batch.objects.filter(name=batch_name(self._key), finished_utc__isnull=True)
        found: Batch | None = reading(open_ones.first)
        return found


class _Pace:
    """Spreads the starts of jobs: each minute has as many as the rate says, over calls and restarts too."""

    def __init__(self, rate_per_minute: int | None, until_utc: datetime | None) -> None:
        self._step = timedelta(minutes=1) / rate_per_minute if rate_per_minute else None
        now = database_now() if rate_per_minute else None
        self.until_utc = None if now is None else max(now, until_utc) if until_utc else now

    def next(self) -> datetime | None:
        """Return when the next job may start; None: at once."""
        if self._step is None or self.until_utc is None:
            return None
        start = self.until_utc
        self.until_utc = start + self._step
        return start


def _change(one: Difference, state: SubjectState, **values: object) -> SubjectChange:
    named = {"entity_type": one.subject.entity_type, "entity_id": one.subject.entity_id, "state": state}
    return SubjectChange.model_validate({**named, **values})


def entities_named(declared: Declared, ids: Sequence[str]) -> list[tuple[str, str]]:
    """Return the subjects with these entity ids; raise NotApplied for one that the derivation does not have."""
    if declared.row is None:
        raise NotApplied(f"{declared.key} was never applied")
    query = Subject.objects.filter(derivation_seq=declared.row.derivation_seq, entity_id__in=ids)
    found: list[tuple[str, str]] = reading(partial(list, query.values_list("entity_type", "entity_id")))
    if missing := set(ids) - {name for _kind, name in found}:
        raise NotApplied(f"{declared.key} has no subject {sorted(missing)[0][:200]!r}")
    return found


def ask_again(
    declared: Declared,
    queue: JobQueue,
    *,
    actor: str,
    reason: str | None = None,
    entities: Iterator[tuple[str, str]] | None = None,
    states: tuple[SubjectState, ...] = (SubjectState.CURRENT, SubjectState.FAILED),
    stop_asked: Callable[[], bool] = lambda: False,
) -> int:
    """Ask for new answers: of these entities, or of all subjects in these states; the next application queues them.

    Return how many were asked for; after a stop the same call goes on, as those asked for are in these states no more.
    Raises NotApplied if it was never applied, QueueError.
    """
    if declared.row is None:
        raise NotApplied(f"{declared.key} was never applied")
    if entities is None:
        entities = _in_states(declared.row.derivation_seq, states)
    asked = 0
    while not stop_asked() and (page := list(islice(entities, SUBJECTS_AT_ONCE))):
        changes = [
            SubjectChange(entity_type=kind, entity_id=name, state=SubjectState.STALE, stale_because=StaleBecause.ASKED)
            for kind, name in page
        ]
        asked += queue.set_subjects(declared.key, changes, actor=actor, reason=reason)
    return asked


def _in_states(derivation_seq: int, states: tuple[SubjectState, ...]) -> Iterator[tuple[str, str]]:
    after = 0
    while True:
        query = Subject.objects.filter(derivation_seq=derivation_seq, state__in=states, subject_seq__gt=after)
        names = query.order_by("subject_seq").values_list("subject_seq", "entity_type", "entity_id")
        page: list[tuple[int, str, str]] = reading(partial(list, names[:SUBJECTS_AT_ONCE]))
        yield from ((kind, name) for _seq, kind, name in page)
        if len(page) < SUBJECTS_AT_ONCE:
            return
        after = page[-1][0]
