"""What the lists of runs and of artifacts may be filtered by, and the walks that find those rows.

Ids and times are served by indexes; the rest is judged row by row, within the walk's bound: no index is kept for it,
since each would be written at every run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.http import QueryDict

from derive.admin.lists.keyset import Condition, Walk, equals, table_of, within
from derive.admin.lists.query_params import QueryReader
from derive.admin.lists.sequence_for_time import Seeker
from derive.errors import ErrorKind
from derive.lake import ARTIFACTS
from derive.models import Artifact, Interrogation, Run
from derive.states import RunStatus

STATES = tuple(status.value for status in RunStatus)
KINDS = tuple(kind.value for kind in ErrorKind)
TYPES = tuple(artifact_type for artifact_type, _media_type in ARTIFACTS.values())


@dataclass(frozen=True)
class _Table:
    """By which columns a table's rows are reached, and the filters of its list."""

    model: type[Run] | type[Artifact]
    sequence: str
    time: str
    ids: tuple[str, ...]
    labels: dict[str, str]
    """The filters, by what the page calls them."""


_RUNS = _Table(
    model=Run,
    sequence="run_seq",
    time="started_utc",
    ids=("run_id", "job_id"),
    labels={
        "q": "Search",
        "status": "State",
        "error_kind": "Error kind",
        "interrogation": "Interrogation",
        "model": "Model",
        "worker": "Worker",
        "since": "Started since",
        "until": "Started before",
    },
)
_ARTIFACTS = _Table(
    model=Artifact,
    sequence="artifact_seq",
    time="created_utc",
    ids=("artifact_id", "run_id"),
    labels={"q": "Search", "type": "Artifact", "since": "Recorded since", "until": "Recorded before"},
)


@dataclass(frozen=True)
class RowFilter:
    """The filters of one list, as read from an address: what was typed, and the walk over what matches."""

    texts: dict[str, str]
    active: tuple[tuple[str, str], ...]
    problems: tuple[str, ...]
    walk: Walk
    labels: dict[str, str]

    @property
    def is_set(self) -> bool:
        """Whether anything is filtered at all."""
        return bool(self.active)


def read_run_filter(query: QueryDict) -> RowFilter:
    """Read the filters of the runs' list; what cannot be understood is told, and then nothing matches."""
    asked = QueryReader(query, _RUNS.labels)
    texts = {
        "status": asked.one_of("status", STATES),
        "error_kind": asked.one_of("error_kind", KINDS),
        **{name: asked.text(name) for name in ("interrogation", "model", "worker")},
    }
    columns = {"status": "t.status", "error_kind": "t.error_kind", "model": "t.model_name", "worker": "t.worker_id"}
    rest = [equals(column, texts[name]) for name, column in columns.items() if texts[name]]
    if texts["interrogation"]:
        rest.append(
            Condition(
                f"t.definition_sha256 IN (SELECT i.definition_sha256 FROM {table_of(Interrogation)} AS i "  # noqa: S608 (our own constants)
                "WHERE i.interrogation_key = %s)",
                (texts["interrogation"],),
            )
        )
    return _filter(asked, _RUNS, texts, rest)


def read_artifact_filter(query: QueryDict) -> RowFilter:
    """Read the filters of the artifacts' list, as ``read_run_filter``."""
    asked = QueryReader(query, _ARTIFACTS.labels)
    texts = {"type": asked.one_of("type", TYPES)}
    rest = [equals("t.artifact_type", texts["type"])] if texts["type"] else []
    return _filter(asked, _ARTIFACTS, texts, rest)


def _filter(asked: QueryReader, table: _Table, texts: dict[str, str], rest: list[Condition]) -> RowFilter:
    """Return what was asked for, by the filters that every list has and by the ``rest`` of this one."""
    wanted = asked.guid("q")
    since, until = asked.moment("since"), asked.moment("until")
    typed = {name: asked.query.get(name, "") for name in table.labels}
    if asked.problems:
        walk = Walk(table.model, table.sequence, arms=())
    else:
        numbers = tuple(_numbers(table, since, until))
        arms = tuple((equals(name, wanted), *numbers) for name in table.ids) if wanted else (numbers,)
        judged = (*rest, *within(f"t.{table.time}", since=since, until=until))
        walk = Walk(table.model, table.sequence, arms=arms, rest=judged, may_overlap=wanted is not None)
    active = tuple((name, value) for name, value in typed.items() if value)
    return RowFilter(texts=typed | texts, active=active, problems=tuple(asked.problems), walk=walk, labels=table.labels)


def _numbers(table: _Table, since: datetime | None, until: datetime | None) -> Iterator[Condition]:
    """Yield the range of numbers in which the times lie."""
    seeker = Seeker(table.model, sequence=table.sequence, time=table.time)
    if since:
        yield Condition(f"{table.sequence} >= %s", (seeker.first_since(since),))
    if until:
        yield Condition(f"{table.sequence} <= %s", (seeker.last_before(until),))
