"""Delivers: takes changes from the outbox and writes the target, both in one transaction, in bounded steps.

At least once is exactly once: a row is written by its key with the subject's answer as it is then, and one transaction
at a time delivers a derivation. What the table refuses for its values is set aside, one row at a time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from uuid import UUID

from django.db import connections
from django.db.models import Max, Min

from derive.deliveries.outbox import Outbox, read_outbox
from derive.deliveries.statements import TargetStatement, Value
from derive.deliveries.targets import LOCK_MS, TargetTable, TargetUnfit, look_at, target_faults
from derive.deliveries.values import read_values
from derive.derivation_contracts import DueSubject
from derive.derivations.applying import settle
from derive.derivations.declarations import Declared, all_declared, find_declared, record
from derive.errors import BadArgument, ConfigurationError, HolocronError
from derive.models import Derivation, Subject
from derive.queue import JobQueue
from derive.sql.fault_codes import Meaning
from derive.sql.faults import DATABASE_ERRORS, read_fault
from derive.sql.reading import reading
from derive.states import SubjectState
from derive.target_contracts import Target

ROWS_AT_ONCE = 200
"""Rows of one transaction; their answers are in memory together."""
MOST_REFUSED_IN_A_ROW = 20
"""So many refused rows without one that is written: the columns do not fit, and the rest waits."""
_BUSY = 68
_ROLLED_BACK = frozenset({Meaning.CONTENDED, Meaning.LOST, Meaning.CROWDED, Meaning.TIMED_OUT, Meaning.EXHAUSTED})


@dataclass(kw_only=True)
class Delivered:
    """What one call did. ``problem`` says why the rest waits, if something stopped it."""

    key: str
    table: str | None
    written: int = 0
    retired: int = 0
    """Rows marked or removed."""
    problem: str | None = None
    outbox: Outbox = field(default_factory=Outbox)


class RowsRefused(HolocronError):
    """The table refuses values of these rows; nothing of the step was written."""

    def __init__(self, due: Sequence[DueSubject], why: str) -> None:
        super().__init__(why)
        self.due = due


def target_of(declared: Declared) -> Target | None:
    """Return what a derivation delivers to; None: nothing, or not by the file's word. Raises ConfigurationError.

    Only the file says which tables are written: who may edit derivations in the admin has no say over other tables.
    """
    return declared.usable().target if declared.declared_in == "file" else None


def deliver(
    declared: Declared,
    queue: JobQueue,
    *,
    actor: str,
    max_rows: int | None = None,
    restart: bool = False,
    stop_asked: Callable[[], bool] = lambda: False,
    lock_ms: int = LOCK_MS,
) -> Delivered:
    """Deliver what waits; a target that cannot be written keeps it waiting, and is told as ``problem``.

    ``restart`` delivers all subjects with answers once more. Raises ConfigurationError for a derivation without a
    target, QueueError.
    """
    target = _wanted(declared)
    row = record(declared, queue, actor=actor)
    settle(queue)
    if restart:
        queue.fill_deliveries(declared.key, max_rows=ROWS_AT_ONCE, restart=True)
    done = Delivered(key=declared.key, table=target.table)
    try:
        _check_types(row, target)
        table = look_at(target, lock_ms=lock_ms)
        _Call(table, queue, done, max_rows=max_rows, stop_asked=stop_asked).run()
    except TargetUnfit as error:
        done.problem = str(error)
    except BadArgument as error:
        if error.number != _BUSY:
            raise
        done.problem = "it is being delivered already: what waits is written there"
    done.outbox = read_outbox(reading(partial(Derivation.objects.get, derivation_key=declared.key)))
    return done


def look(declared: Declared) -> Delivered:
    """Return what waits and whether the target can be written now; changes nothing. Raises as ``deliver``."""
    target = _wanted(declared)
    done = Delivered(key=declared.key, table=target.table, outbox=read_outbox(declared.row))
    try:
        look_at(target)
    except TargetUnfit as error:
        done.problem = str(error)
    return done


def find_targets(key: str | None) -> list[Declared]:
    """Return the derivation of this key, or all that declare a target.

    Raises ConfigurationError if there is no such derivation, QueueError.
    """
    if key is not None:
        return [find_declared(key)]
    return [one for one in all_declared() if one.declaration is not None and target_of(one) is not None]


def _wanted(declared: Declared) -> Target:
    target = target_of(declared)
    if target is None:
        raise ConfigurationError(f"{declared.key} declares no target: write a [derivation.target] table in the file")
    return target


class _Call:
    """One delivery on its way."""

    def __init__(
        self,
        table: TargetTable,
        queue: JobQueue,
        done: Delivered,
        *,
        max_rows: int | None,
        stop_asked: Callable[[], bool],
    ) -> None:
        self._table = table
        self._target = table.target
        self._queue = queue
        self._done = done
        self._left = max_rows
        self._stop_asked = stop_asked

    def run(self) -> None:
        """Deliver until nothing waits, or a limit is reached. Raises TargetUnfit, QueueError."""
        size, refused_in_a_row, is_filled = ROWS_AT_ONCE, 0, False
        while self._left != 0 and not self._stop_asked():
            if not is_filled:
                is_filled = self._queue.fill_deliveries(self._done.key, max_rows=ROWS_AT_ONCE).is_done
            step = size if self._left is None else min(size, self._left)
            try:
                due = self._queue.take_deliveries(self._done.key, max_rows=step, write=self._write)
            except RowsRefused as error:
                if len(error.due) > 1:
                    size = max(1, step // 2)
                    continue
                self._refuse(error)
                refused_in_a_row += 1
                if refused_in_a_row >= MOST_REFUSED_IN_A_ROW:
                    raise TargetUnfit(
                        f"{self._target.table} refused {refused_in_a_row} rows, one after the other: {error}"
                    ) from error
                continue
            if due:
                refused_in_a_row, size = 0, min(ROWS_AT_ONCE, size * 2)
                self._count(due)
            elif is_filled:
                return

    def _refuse(self, error: RowsRefused) -> None:
        self._queue.refuse_delivery(error.due[0].delivery_seq, why=str(error))
        if self._left is not None:
            self._left -= 1

    def _count(self, due: Sequence[DueSubject]) -> None:
        gone = sum(one.state is SubjectState.RETIRED for one in due if one.run_id is not None)
        self._done.written += sum(one.run_id is not None for one in due) - gone
        self._done.retired += gone if self._target.retired != "keep" else 0
        if self._left is not None:
            self._left -= min(self._left, len(due))

    def _write(self, due: Sequence[DueSubject]) -> None:
        """Write the rows of subjects, inside the transaction that took them."""
        answered = [one for one in due if one.run_id is not None]
        values = read_values(self._target, [one.run_id for one in answered if one.run_id is not None])
        try:
            with target_faults(self._target), connections["default"].cursor() as cursor:
                for statement in self._statements(answered, values):
                    cursor.execute(statement.sql, list(statement.values))
        except DATABASE_ERRORS as error:
            fault = read_fault(error)
            if fault.meaning in _ROLLED_BACK:
                raise
            raise RowsRefused(due, _why(error, fault.code)) from error

    def _statements(self, due: Sequence[DueSubject], values: dict[UUID, list[Value]]) -> list[TargetStatement]:
        made, target = self._table.statements, self._target
        rows = [
            [*self._key(one), *values[one.run_id], *self._extra(one)]
            for one in due
            if one.state is not SubjectState.RETIRED and one.run_id in values
        ]
        extra = [name for name in (target.run_id, target.retired_column) if name is not None]
        found = [made.before(), *made.upserts(target.table, target.key_names, [*target.columns, *extra], rows)]
        found += [self._retire(one) for one in due if one.state is SubjectState.RETIRED]
        return [one for one in found if one is not None]

    def _retire(self, one: DueSubject) -> TargetStatement | None:
        made, target = self._table.statements, self._target
        if target.retired == "remove":
            return made.delete(target.table, target.key_names, self._key(one))
        if target.retired_column is None:
            return None
        mark = f"{one.changed_utc:%Y-%m-%d %H:%M:%S.%f}" if self._table.marks_with_time else "true"
        return made.update(target.table, target.retired_column, mark, target.key_names, self._key(one))

    def _key(self, one: DueSubject) -> list[Value]:
        return [one.entity_id] if self._target.key.entity_type is None else [one.entity_id, one.entity_type]

    def _extra(self, one: DueSubject) -> list[Value]:
        values: list[Value] = [] if self._target.run_id is None else [str(one.run_id)]
        if self._target.retired_column is not None:
            values.append(None if self._table.marks_with_time else "false")
        return values


def _check_types(row: Derivation, target: Target) -> None:
    if target.key.entity_type is not None:
        return
    ends = reading(
        partial(
            Subject.objects.filter(derivation_seq=row.derivation_seq).aggregate,
            first=Min("entity_type"),
            last=Max("entity_type"),
        )
    )
    if ends["first"] != ends["last"]:
        raise TargetUnfit(
            f"its subjects are of several types ({ends['first']}, {ends['last']}): give the key an entity_type too"
        )


def _why(error: BaseException, code: str) -> str:
    """Return why a row was refused, without its values."""
    diag = getattr(error.__cause__, "diag", None)
    named = [
        f"{kind} {name}"
        for kind in ("column", "constraint")
        if (name := getattr(diag, f"{kind}_name", None)) is not None
    ]
    what = f" ({', '.join(named)})" if named else ""
    return f"the table refuses a value of the row{what}: {code}"
