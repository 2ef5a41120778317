"""Compares a source with a derivation's subjects, on disk: memory stays the same however many there are.

Both sides go into a temporary SQLite file, and one join there tells what is new, changed or gone. SQLite was preferred
to reading both in one order: a source has its own, and engines do not order text alike.
"""

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from derive.derivations.wanted import Asked, Refused, Wanted
from derive.models import Subject
from derive.sources.contract import SkippedSubject, Source, SourceSubject, SubjectEvidence, Unreadable
from derive.sql.reading import reading
from derive.states import StaleBecause, SubjectState

PAGE = 10_000
READ_AT_ONCE = 200
SAMPLE = 400
"""Subjects whose sizes tell those of the others that need not be read."""
MOST_SHOWN = 20
_SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
PRAGMA cache_size = -16384;
PRAGMA temp_store = FILE;
CREATE TABLE found (
    entity_type TEXT, entity_id TEXT, token TEXT, address TEXT NOT NULL, PRIMARY KEY (entity_type, entity_id)
) WITHOUT ROWID;
CREATE TABLE left_out (entity_type TEXT, entity_id TEXT, why TEXT, PRIMARY KEY (entity_type, entity_id)) WITHOUT ROWID;
CREATE TABLE unread (entity_type TEXT, entity_id TEXT, PRIMARY KEY (entity_type, entity_id)) WITHOUT ROWID;
CREATE TABLE known (
    entity_type TEXT, entity_id TEXT, state TEXT, asked INTEGER, ruled_out INTEGER, token TEXT, evidence TEXT,
    same_definition INTEGER, same_model INTEGER, asks INTEGER,
    PRIMARY KEY (entity_type, entity_id)
) WITHOUT ROWID;
"""
# Nothing to look at: asked with this evidence, definition and model, or left out by a rule for the text it still has.
_SETTLED = f"""
    f.token = k.token AND (
        (k.evidence IS NOT NULL AND k.same_definition AND k.same_model
            AND k.state IN ('{SubjectState.CURRENT}', '{SubjectState.QUEUED}', '{SubjectState.FAILED}'))
        OR (k.state = '{SubjectState.RETIRED}' AND k.ruled_out)
    )
"""
_BOTH = "found AS f LEFT JOIN known AS k USING (entity_type, entity_id)"
_GONE = f"""
    known AS k LEFT JOIN found AS f USING (entity_type, entity_id)
    WHERE f.address IS NULL AND k.state <> '{SubjectState.RETIRED}'
        AND NOT EXISTS (SELECT 1 FROM unread AS u WHERE u.entity_type = k.entity_type AND u.entity_id = k.entity_id)
"""  # noqa: S608 (our own constants)


_ASKED = frozenset({SubjectState.CURRENT, SubjectState.QUEUED, SubjectState.FAILED})
"""States of a subject that is as its newest job was asked."""


class DifferenceKind(StrEnum):
    """What a comparison found of a subject."""

    NEW = "new"
    CHANGED = "changed"
    STALE = "stale"
    """Its evidence is as it was; definition or model are not, or somebody asked."""
    AS_ASKED = "as asked"
    """It has to be told only: a new token, or it is back."""
    LEFT_OUT = "left out"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Difference:
    """One subject that is not as it was. ``evidence`` is None where it was not read; ``token`` is the one to keep."""

    kind: DifferenceKind
    subject: SourceSubject
    token: str | None
    asks: int
    evidence: Asked | None = None
    because: StaleBecause | None = None
    why: str | None = None
    state: SubjectState | None = None
    """The subject's state; None: it has none yet."""
    has_same_token: bool = False


class SourceComparison:
    """One comparison of a source with the derivation's subjects; a context manager.

    ``unreadable`` counts what could not be read, ``shown`` keeps the first of them; ``is_partial``: a part of the
    source could not be read at all, so that nothing can be said to be gone.
    """

    def __init__(self, source: Source, wanted: Wanted, derivation_seq: int | None) -> None:
        self._source = source
        self._wanted = wanted
        self._derivation_seq = derivation_seq
        self.unreadable = 0
        self.duplicates = 0
        self.left_out = 0
        self.is_partial = False
        self.shown: list[Unreadable] = []
        self._folder = tempfile.TemporaryDirectory(prefix="holocron-comparison-")
        self._db = sqlite3.connect(Path(self._folder.name) / "comparison.sqlite", isolation_level=None)
        self._db.executescript(_SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()
        self._folder.cleanup()

    def read(self) -> None:
        """Read both sides. Raises SourceError, QueueError."""
        self._insert(
            "INSERT OR IGNORE INTO found (entity_type, entity_id, token, address) VALUES (?, ?, ?, ?)", self._found()
        )
        self.duplicates = self._found_count - self._number("SELECT count(*) FROM found")
        if self._derivation_seq is not None:
            self._insert("INSERT OR REPLACE INTO known VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", self._known())

    def settled(self) -> Counter[SubjectState]:
        """Return how many subjects need no look, by their state."""
        rows = self._db.execute(f"SELECT k.state, count(*) FROM {_BOTH} WHERE {_SETTLED} GROUP BY k.state")  # noqa: S608 (constants)
        return Counter({SubjectState(state): amount for state, amount in rows})

    def gone_count(self) -> int:
        """Return how many subjects are no longer in the source, or left out by a rule of it."""
        return self._number(f"SELECT count(*) FROM {_GONE}")  # noqa: S608 (constants)

    def gone(self) -> Iterator[tuple[str, str, str | None]]:
        """Yield type, id, and why of those a rule leaves out (None: not in the source) of each that is gone."""
        if self.is_partial:
            return
        why = "(SELECT l.why FROM left_out AS l WHERE l.entity_type = k.entity_type AND l.entity_id = k.entity_id)"
        with closing(self._db.cursor()) as cursor:
            yield from cursor.execute(f"SELECT k.entity_type, k.entity_id, {why} FROM {_GONE}")  # noqa: S608 (constants)

    def differences(self, *, reads_stale: bool) -> Iterator[Difference]:
        """Yield every other subject of the source, by type and id; reads the evidence of those that may have changed.

        Without ``reads_stale`` the evidence of those that are only stale is not read.
        """
        with closing(self._db.cursor()) as cursor:
            cursor.execute(
                f"""SELECT f.entity_type, f.entity_id, f.token, f.address, k.state, k.asked, k.ruled_out, k.token,
                    k.evidence, k.same_definition, k.same_model, k.asks
                    FROM {_BOTH} WHERE NOT coalesce({_SETTLED}, 0) ORDER BY f.entity_type, f.entity_id"""  # noqa: S608 (constants)
            )
            while rows := cursor.fetchmany(READ_AT_ONCE):
                yield from self._look_at(rows, reads_stale=reads_stale)

    def sample(self, subjects: Iterable[SourceSubject]) -> list[int]:
        """Return the sizes of up to ``SAMPLE`` of these subjects."""
        sizes = []
        for result in self._source.with_evidence(islice(subjects, SAMPLE)):
            if isinstance(result, SubjectEvidence):
                try:
                    sizes.append(self._wanted.ask(result.subject, result.items).characters)
                except Refused:
                    continue
        return sizes

    def note_unreadable(self, one: Unreadable) -> None:
        """Count something that could not be read, and keep the first few."""
        self.unreadable += 1
        if len(self.shown) < MOST_SHOWN:
            self.shown.append(one)

    def _look_at(self, rows: list[tuple[Any, ...]], *, reads_stale: bool) -> Iterator[Difference]:
        to_read: dict[tuple[str, str], tuple[Any, ...]] = {}
        subjects = []
        for row in rows:
            because = _stale_because(row)
            has_same_text = row[2] is not None and row[2] == row[7] and row[8] is not None
            subject = SourceSubject(row[0], row[1], None, row[3])
            if has_same_text and because is None and row[4] != SubjectState.MISSING:
                yield Difference(
                    DifferenceKind.AS_ASKED, subject, row[2], row[11] or 0, state=_state(row), has_same_token=True
                )
            elif has_same_text and because is not None and not reads_stale and row[4] != SubjectState.MISSING:
                yield Difference(
                    DifferenceKind.STALE, subject, row[2], row[11] or 0, because=because, state=_state(row)
                )
            else:
                to_read[row[0], row[1]] = row
                subjects.append(subject)
        for result in self._source.with_evidence(subjects) if subjects else ():
            found = result.subject
            if found is None:
                self.note_unreadable(result)  # type: ignore[arg-type]  # only an Unreadable has no subject
                continue
            row = to_read[found.entity_type, found.entity_id]
            yield self._judge(row, SourceSubject(row[0], row[1], found.change_token, row[3]), result)

    def _judge(
        self, row: tuple[Any, ...], subject: SourceSubject, result: SubjectEvidence | Unreadable | SkippedSubject
    ) -> Difference:
        token = None if subject.change_token is None else self._wanted.token(subject.change_token)
        asks, state = row[11] or 0, _state(row)
        if isinstance(result, SubjectEvidence) and token is None:
            token = self._wanted.token_of_text(result.items)
        why = self._why_left_out(result)
        if why is not None:
            self.left_out += 1
            return Difference(DifferenceKind.LEFT_OUT, subject, token, asks, why=why[:400], state=state)
        is_same = token is not None and token == row[7] and row[8] is not None
        if is_same and state in _ASKED and _stale_because(row) is None:
            # The same text, as its hash says: it need not be redacted to be known.
            return Difference(DifferenceKind.AS_ASKED, subject, token, asks, state=state, has_same_token=True)
        try:
            if isinstance(result, Unreadable):
                raise Refused(result.reason)
            assert isinstance(result, SubjectEvidence)  # noqa: S101 (the others were told above)
            asked = self._wanted.ask(subject, result.items)
        except Refused as error:
            self.note_unreadable(Unreadable(subject.address, str(error), subject))
            return Difference(DifferenceKind.UNREADABLE, subject, token, asks, why=str(error), state=state)
        because = _stale_because(row)
        if row[8] is None or state in {None, SubjectState.MISSING}:
            kind = DifferenceKind.NEW
        elif asked.evidence_sha256 != row[8]:
            kind, because = DifferenceKind.CHANGED, StaleBecause.EVIDENCE
        else:
            kind = DifferenceKind.AS_ASKED if because is None else DifferenceKind.STALE
        return Difference(
            kind,
            subject,
            token,
            asks,
            evidence=asked,
            because=None if kind in {DifferenceKind.NEW, DifferenceKind.AS_ASKED} else because,
            state=state,
            has_same_token=token == row[7],
        )

    def _why_left_out(self, result: SubjectEvidence | Unreadable | SkippedSubject) -> str | None:
        if isinstance(result, SkippedSubject):
            return f"{result.rule}: {result.reason}"
        routed = result.interrogation_key if isinstance(result, SubjectEvidence) else None
        if routed is not None and routed != self._wanted.declaration.interrogation:
            return f"{getattr(result, 'rule', None)}: meant for {routed}"
        return None

    def _found(self) -> Iterator[tuple[str, str, str | None, str]]:
        self._found_count = 0
        for one in self._source.subjects():
            if isinstance(one, SourceSubject) and (why := _bad_entity(one)) is None:
                self._found_count += 1
                token = None if one.change_token is None else self._wanted.token(one.change_token)
                yield one.entity_type, one.entity_id, token, one.address
            elif isinstance(one, SkippedSubject):
                self.left_out += 1
                key = (one.subject.entity_type, one.subject.entity_id, f"{one.rule}: {one.reason}"[:400])
                self._db.execute("INSERT OR REPLACE INTO left_out VALUES (?, ?, ?)", key)
            elif isinstance(one, Unreadable):
                self.note_unreadable(one)
                self.is_partial = self.is_partial or one.subject is None
                if one.subject is not None and _bad_entity(one.subject) is None:
                    unread = (one.subject.entity_type, one.subject.entity_id)
                    self._db.execute("INSERT OR REPLACE INTO unread VALUES (?, ?)", unread)
            else:
                self.note_unreadable(Unreadable(one.address, why or "", one))

    def _known(self) -> Iterator[tuple[Any, ...]]:
        names = (
            *("subject_seq", "entity_type", "entity_id", "state", "stale_because", "why", "change_token"),
            *("evidence_sha256", "definition_sha256", "model", "asks"),
        )
        definition, model, after = self._wanted.definition_sha256, self._wanted.model, 0
        assert self._derivation_seq is not None  # noqa: S101 (asked only then)
        subjects = Subject.objects.filter(derivation_seq=self._derivation_seq).order_by("subject_seq")
        while True:
            page = subjects.filter(subject_seq__gt=after).values_list(*names)[:PAGE]
            rows: list[tuple[Any, ...]] = reading(partial(list, page))
            for seq, kind, name, state, because, why, token, evidence, own, asked_of, asks in rows:
                after = seq
                yield (
                    *(kind, name, state, because == StaleBecause.ASKED, why is not None, token, evidence),
                    *(own == definition, asked_of == model, asks),
                )
            if len(rows) < PAGE:
                return

    def _insert(self, sql: str, rows: Iterator[tuple[Any, ...]]) -> None:
        self._db.execute("BEGIN")
        self._db.executemany(sql, rows)
        self._db.execute("COMMIT")

    def _number(self, sql: str) -> int:
        return int(self._db.execute(sql).fetchone()[0])


def _state(row: tuple[Any, ...]) -> SubjectState | None:
    return None if row[4] is None else SubjectState(row[4])


def _stale_because(row: tuple[Any, ...]) -> StaleBecause | None:
    """Return why an answer to unchanged evidence is stale."""
    if row[9] is not None and not row[9]:
        return StaleBecause.DEFINITION
    if row[10] is not None and not row[10]:
        return StaleBecause.MODEL
    return StaleBecause.ASKED if row[5] else None


def _bad_entity(subject: SourceSubject) -> str | None:
    kind, entity = subject.entity_type, subject.entity_id
    if (
        0 < len(kind) <= 200
        and 0 < len(entity) <= 400
        and (kind + entity).isprintable()
        and " " not in {kind[0], kind[-1], entity[0], entity[-1]}
    ):
        return None
    for name, value, longest in (("type", subject.entity_type, 200), ("id", subject.entity_id, 400)):
        if not value or len(value) > longest or value != value.strip(" ") or not value.isprintable():
            return (
                f"its entity {name} is empty, longer than {longest} characters, has blanks at an end, or holds what "
                "cannot be printed: rename it"
            )
    return None
