"""The filters of the list of jobs, and the query that finds the matching rows; parts are left out by default.

A filter that an index serves becomes index ranges, one per requested state; creation times become a range of job
numbers; the rest is checked row by row, within a bound.
"""

from copy import copy
from uuid import UUID

from typing_extensions import override

from derive.admin.lists.filters import TIMES, ChoiceFilter, GuidFilter, ListFilter, MomentFilter, TextFilter
from derive.admin.lists.keyset import Condition, Walk, equals, within
from derive.admin.lists.query_params import as_guid
from derive.errors import ErrorKind
from derive.models import Job, Run
from derive.states import ENDED, STATE_NAMES, JobStatus

STATES = tuple(status.value for status in JobStatus)

# The filters that an index serves together with a state, most selective first.
_SERVED = (
    ("part_of", "parent_job_id"),
    ("batch", "batch_id"),
    ("entity", "entity_id"),
    ("error_kind", "error_kind"),
    ("created_by", "created_by"),
    ("model", "model_hint"),
    ("interrogation", "interrogation_key"),
)


class JobFilter(ListFilter):
    """The filters of a list of jobs."""

    rows_of, sequence, time = Job, "job_seq", "created_utc"
    more = frozenset(
        (
            "model",
            "entity",
            "batch",
            "part_of",
            "parts",
            "entity_type",
            "created_by",
            "created",
            "created_until",
            "ended",
            "ended_until",
        )
    )

    q = TextFilter("Search", placeholder="job id, run id, entity id or dedupe key", max_length=400, is_wide=True)
    status = ChoiceFilter("State", STATE_NAMES.items())
    interrogation = TextFilter("Interrogation", suggest="interrogations")
    error_kind = ChoiceFilter("Error kind", ErrorKind)
    model = TextFilter("Model", suggest="models")
    entity = TextFilter("Entity id", max_length=400)
    batch = GuidFilter("Batch", placeholder="a batch's id")
    part_of = GuidFilter("Part of", placeholder="the id of a job in parts")
    parts = ChoiceFilter("Parts", [("shown", "shown")], any_value="hidden")
    entity_type = TextFilter("Entity type")
    created_by = TextFilter("Queued by")
    created = MomentFilter("Queued since", placeholder=TIMES)
    created_until = MomentFilter("Queued before")
    ended = MomentFilter("Ended since", placeholder=TIMES)
    ended_until = MomentFilter("Ended before")

    def of_succeeded(self) -> "JobFilter":
        """Return the same filter, restricted to succeeded jobs unless it names a state."""
        other = copy(self)
        other.values = {**self.values, "status": self.values["status"] or JobStatus.SUCCEEDED.value}
        return other

    @override
    def matching(self) -> Walk:
        if self.values["ended"] or self.values["ended_until"]:
            return self._walk_by_end()
        common = self.numbers(self.values["created"], self.values["created_until"])
        if self.values["q"]:
            return self._search(common)
        status = self.values["status"]
        served = next(((name, column) for name, column in _SERVED if self.values[name]), None)
        if served is None:
            arm = (equals("status", status),) if status else ()
            return Walk(Job, "job_seq", arms=((*arm, *common, *self._whole()),), rest=self._rest({"status"}))
        name, column = served
        states = [status] if status else list(STATES)
        arms = tuple(
            (equals(column, self.values[name]), equals("status", state), *common, *self._whole()) for state in states
        )
        return Walk(Job, "job_seq", arms=arms, rest=self._rest({"status", name}))

    def _walk_by_end(self) -> Walk:
        since, until, status = self.values["ended"], self.values["ended_until"], self.values["status"]
        when = (
            Condition("finished_utc IS NOT NULL"),
            *within("finished_utc", since=since, until=until),
            *self._whole(),
        )
        states = [status] if status else sorted(ENDED)
        arms = tuple((equals("status", str(state)), *when) for state in states if state in ENDED)
        rest = (*self._rest({"status"}), *self._searched())
        return Walk(Job, "job_seq", arms=arms, rest=rest, by_time="finished_utc")

    def _search(self, common: tuple[Condition, ...]) -> Walk:
        """Return the query for the search box: a job, a run's job, an entity or a dedupe key."""
        wanted = self.values["q"]
        arms: list[tuple[Condition, ...]] = [(equals("dedupe_key", wanted), *common)]
        arms += [(equals("entity_id", wanted), equals("status", state), *common, *self._whole()) for state in STATES]
        if guid := as_guid(wanted):
            arms += [(equals("job_id", job_id), *common) for job_id in {guid, *_job_of(guid)}]
        return Walk(Job, "job_seq", arms=tuple(arms), rest=self._rest(set()), may_overlap=True)

    def _whole(self) -> tuple[Condition, ...]:
        """Return the condition that leaves out parts; none if they are asked for."""
        return () if self.values["parts"] or self.values["part_of"] else (Condition("parent_job_id IS NULL"),)

    def _searched(self) -> tuple[Condition, ...]:
        """Return the search as a condition on a row, for a query ordered by another key."""
        wanted = self.values["q"]
        if not wanted:
            return ()
        guid = as_guid(wanted)
        ids = [guid, *_job_of(guid)] if guid else []
        either = ["t.dedupe_key = %s", "t.entity_id = %s", *("t.job_id = %s" for _id in ids)]
        return (Condition(f"({' OR '.join(either)})", (wanted, wanted, *ids)),)

    def _rest(self, served: set[str]) -> tuple[Condition, ...]:
        columns = {"status": "status", "entity_type": "entity_type", **dict(_SERVED)}
        judged = tuple(
            equals(f"t.{column}", self.values[name])
            for name, column in columns.items()
            if self.values[name] and name not in served
        )
        created = within("t.created_utc", since=self.values["created"], until=self.values["created_until"])
        return (*judged, *created)


def _job_of(run_id: UUID) -> list[UUID]:
    return list(Run.objects.filter(run_id=run_id).values_list("job_id", flat=True))
