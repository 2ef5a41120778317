"""The filters of the lists of runs and artifacts, and the walks over the matching rows.

Indexes serve ids and times. The rest is checked row by row, within the walk's bound: an index would have to be written
at every run.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar

from typing_extensions import override

from derive.admin.lists.filters import TIMES, ChoiceFilter, GuidFilter, ListFilter, MomentFilter, TextFilter
from derive.admin.lists.keyset import Condition, equals, table_of
from derive.errors import ErrorKind
from derive.lake import ARTIFACTS
from derive.models import Artifact, Job, Run
from derive.states import STATE_NAMES, RunStatus


class _RecordFilter(ListFilter):
    """Finds rows by one of their ids (``q``), and by columns, each by the filter of the same name."""

    ids: ClassVar[tuple[str, ...]]
    columns: ClassVar[dict[str, str]]

    @override
    def arms(self) -> Sequence[tuple[Condition, ...]]:
        wanted = self.values["q"]
        return [(equals(name, wanted),) for name in self.ids] if wanted else ((),)

    @override
    def rest(self) -> Iterator[Condition]:
        for name, column in self.columns.items():
            if self.values[name]:
                yield equals(f"t.{column}", self.values[name])


class RunFilter(_RecordFilter):
    """The filters of the list of runs."""

    rows_of, sequence, time = Run, "run_seq", "started_utc"
    ids = ("run_id", "job_id")
    columns: ClassVar = {
        "status": "status",
        "error_kind": "error_kind",
        "model": "model_name",
        "worker": "worker_id",
    }

    q = GuidFilter("Search", placeholder="a complete run id or job id", is_wide=True)
    status = ChoiceFilter("State", [(one, STATE_NAMES[one]) for one in RunStatus])
    error_kind = ChoiceFilter("Error kind", ErrorKind)
    interrogation = TextFilter("Interrogation", suggest="interrogations")
    model = TextFilter("Model", suggest="models")
    worker = TextFilter("Worker")
    since = MomentFilter("Started since", placeholder=TIMES)
    until = MomentFilter("Started before")

    @override
    def rest(self) -> Iterator[Condition]:
        yield from super().rest()
        if self.values["interrogation"]:
            # By the job: a run that failed early knows no definition.
            yield Condition(
                f"EXISTS (SELECT 1 FROM {table_of(Job)} AS j "  # noqa: S608 (our own constants)
                "WHERE j.job_id = t.job_id AND j.interrogation_key = %s)",
                (self.values["interrogation"],),
            )


class ArtifactFilter(_RecordFilter):
    """The filters of the list of artifacts."""

    rows_of, sequence, time = Artifact, "artifact_seq", "created_utc"
    ids = ("artifact_id", "run_id")
    columns: ClassVar = {"type": "artifact_type"}

    q = GuidFilter("Search", placeholder="a complete run id or artifact id", is_wide=True)
    type = ChoiceFilter("Artifact", dict.fromkeys(artifact_type for artifact_type, _media_type in ARTIFACTS.values()))
    since = MomentFilter("Recorded since", placeholder=TIMES)
    until = MomentFilter("Recorded before")
