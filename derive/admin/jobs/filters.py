"""What the jobs' list may be filtered by, and the walk that finds those jobs.

A filter that an index serves becomes the arms of the walk, one for each state asked for; creation times become a range
of numbers; the rest is judged row by row, within the walk's bound.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.http import QueryDict

from derive.admin.lists.keyset import Condition, Walk, equals, within
from derive.admin.lists.query_params import QueryReader, as_guid
from derive.admin.lists.sequence_for_time import Seeker
from derive.errors import ErrorKind
from derive.models import Job, Run
from derive.states import ENDED, JobStatus

STATES = tuple(status.value for status in JobStatus)
KINDS = tuple(kind.value for kind in ErrorKind)
LABELS = {
    "status": "State",
    "interrogation": "Interrogation",
    "model": "Model",
    "error_kind": "Error kind",
    "entity": "Entity id",
    "entity_type": "Entity type",
    "created_by": "Queued by",
    "created": "Queued since",
    "created_until": "Queued before",
    "ended": "Ended since",
    "ended_until": "Ended before",
    "q": "Search",
}
"""The filters, by what the page calls them."""
NAMES = tuple(LABELS)

# The filters that an index serves together with a state, the one that finds the fewest rows first.
_SERVED = (
    ("entity", "entity_id"),
    ("error_kind", "error_kind"),
    ("created_by", "created_by"),
    ("model", "model_hint"),
    ("interrogation", "interrogation_key"),
)


@dataclass(frozen=True)
class JobFilter:
    """The filters of one list of jobs, as read from an address."""

    texts: dict[str, str]
    created: tuple[datetime | None, datetime | None]
    ended: tuple[datetime | None, datetime | None]
    problems: tuple[str, ...]
    query: QueryDict

    @classmethod
    def read(cls, query: QueryDict) -> "JobFilter":
        """Read the filters; what cannot be understood is told in ``problems``, and then nothing matches."""
        asked = QueryReader(query, LABELS)
        texts = {
            "status": asked.one_of("status", STATES),
            "error_kind": asked.one_of("error_kind", KINDS),
            **{name: asked.text(name) for name in ("interrogation", "model", "entity", "entity_type", "created_by")},
            "q": asked.text("q"),
        }
        created = asked.moment("created"), asked.moment("created_until")
        ended = asked.moment("ended"), asked.moment("ended_until")
        return cls(texts=texts, created=created, ended=ended, problems=tuple(asked.problems), query=query)

    @property
    def is_set(self) -> bool:
        """Whether anything is filtered at all."""
        return bool(self.problems) or any(self.query.get(name) for name in NAMES)

    def active(self) -> list[tuple[str, str]]:
        """Return the filters that are set, by name."""
        return [(name, str(self.query[name])) for name in NAMES if self.query.get(name)]

    def encoded(self) -> str:
        """Return the filters alone as a query string."""
        kept = QueryDict(mutable=True)
        kept.update(dict(self.active()))
        return kept.urlencode()

    def walk(self) -> Walk:
        """Return the walk over the jobs that match."""
        if self.problems:
            return Walk(Job, "job_seq", arms=())
        if any(self.ended):
            return self._walk_by_end()
        common = self._numbers()
        if self.texts["q"]:
            return self._search(common)
        served = next(((name, column) for name, column in _SERVED if self.texts[name]), None)
        states = [self.texts["status"]] if self.texts["status"] else list(STATES)
        if served is None:
            arm = (equals("status", self.texts["status"]),) if self.texts["status"] else ()
            return Walk(Job, "job_seq", arms=((*arm, *common),), rest=self._rest({"status"}))
        name, column = served
        arms = tuple((equals(column, self.texts[name]), equals("status", state), *common) for state in states)
        return Walk(Job, "job_seq", arms=arms, rest=self._rest({"status", name}))

    def _walk_by_end(self) -> Walk:
        since, until = self.ended
        status = self.texts["status"]
        when = (Condition("finished_utc IS NOT NULL"), *within("finished_utc", since=since, until=until))
        states = [status] if status else sorted(ENDED)
        arms = tuple((equals("status", str(state)), *when) for state in states if state in ENDED)
        rest = (*self._rest({"status"}), *self._searched())
        return Walk(Job, "job_seq", arms=arms, rest=rest, by_time="finished_utc")

    def _search(self, common: tuple[Condition, ...]) -> Walk:
        """Return the walk over what the search box names: a job, a run's job, an entity or a dedupe key."""
        wanted = self.texts["q"]
        arms: list[tuple[Condition, ...]] = [(equals("dedupe_key", wanted), *common)]
        arms += [(equals("entity_id", wanted), equals("status", state), *common) for state in STATES]
        if guid := as_guid(wanted):
            arms += [(equals("job_id", job_id), *common) for job_id in {guid, *_job_of(guid)}]
        return Walk(Job, "job_seq", arms=tuple(arms), rest=self._rest(set()), may_overlap=True)

    def _searched(self) -> tuple[Condition, ...]:
        """Return the search as a condition on a row, for a walk that goes by another key."""
        wanted = self.texts["q"]
        if not wanted:
            return ()
        guid = as_guid(wanted)
        ids = [guid, *_job_of(guid)] if guid else []
        either = ["t.dedupe_key = %s", "t.entity_id = %s", *("t.job_id = %s" for _id in ids)]
        return (Condition(f"({' OR '.join(either)})", (wanted, wanted, *ids)),)

    def _rest(self, served: set[str]) -> tuple[Condition, ...]:
        columns = {"status": "status", "entity_type": "entity_type", **dict(_SERVED)}
        judged = tuple(
            equals(f"t.{column}", self.texts[name])
            for name, column in columns.items()
            if self.texts[name] and name not in served
        )
        since, until = self.created
        return (*judged, *within("t.created_utc", since=since, until=until))

    def _numbers(self) -> tuple[Condition, ...]:
        """Return the range of numbers in which the creation times lie."""
        since, until = self.created
        seeker = Seeker(Job, sequence="job_seq", time="created_utc")
        low = (Condition("job_seq >= %s", (seeker.first_since(since),)),) if since else ()
        high = (Condition("job_seq <= %s", (seeker.last_before(until),)),) if until else ()
        return low + high


def _job_of(run_id: UUID) -> list[UUID]:
    return list(Run.objects.filter(run_id=run_id).values_list("job_id", flat=True))
