"""Reads past runs in the order of their numbers, batch by batch, in bounded memory."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import F

from derive.interrogations.definition import Definition
from derive.models import Artifact, Experiment, Fact, FactSet, Interrogation, LakeDeletion, Run
from derive.sql.reading import reading
from derive.states import ADDED_BY_PERSON, RunStatus
from derive.verify.facts import stored_fact
from derive.verify.stored import FactColumns, StoredArtifact, StoredRun

BATCH_RUNS = 100
"""Runs per query: their inputs and outputs are held in memory."""

BATCH_FACTS = 20_000
"""Facts held in memory with their runs; at least those of one run."""

_NOT_OF_RUN = ("interrogation_key", "input_json", "parent_job_id", "artifacts", "facts", "is_try")
_OF_RUN = tuple(name for name in StoredRun._fields if name not in _NOT_OF_RUN)
_OF_JOB = ("interrogation_key", "input_json", "parent_job_id")
_COLUMNS = (*_OF_RUN, *(f"job__{name}" for name in _OF_JOB))
_OF_ARTIFACT = StoredArtifact._fields


class Shard(NamedTuple):
    """One of ``parts`` equal parts of all runs and folders, ``number`` from 1; together they are all, each once."""

    number: int
    parts: int

    def holds(self, run_id: UUID) -> bool:
        """Whether a folder of this name belongs to it."""
        return run_id.int % self.parts == self.number - 1


@dataclass(frozen=True)
class RunSelection:
    """The runs to verify: all, those started since a time, one, or a shard of them."""

    since: datetime | None = None
    run_id: UUID | None = None
    shard: Shard | None = None


def count_runs(selection: RunSelection) -> int:
    """Return the number of runs to verify."""
    return reading(lambda: int(_selected(selection).count()))


def run_status(run_id: UUID) -> str | None:
    """Return a run's status; None if it does not exist."""
    return reading(lambda: Run.objects.filter(run_id=run_id).values_list("status", flat=True).first())


def stored_runs(selection: RunSelection) -> Iterator[list[StoredRun]]:
    """Yield ended runs, by number, in batches; raises QueueError."""
    last_seq = 0
    while True:
        batch = reading(lambda after=last_seq: _read_batch(selection, after))  # type: ignore[misc]  # bound early
        if not batch:
            return
        yield from _with_facts(batch)
        last_seq = batch[-1].run_seq


def _with_facts(batch: Sequence[StoredRun]) -> Iterator[list[StoredRun]]:
    """Yield the runs with their facts, in parts that hold at most ``BATCH_FACTS`` in memory."""
    counts = reading(
        lambda: dict(
            FactSet.objects.filter(run_id__in=[run.run_id for run in batch]).values_list("run_id", "fact_count")
        )
    )
    part: list[StoredRun] = []
    held = 0
    for run in batch:
        count = counts.get(run.run_id, 0)
        if part and held + count > BATCH_FACTS:
            yield _add_facts(part, counts.keys())
            part, held = [], 0
        part.append(run)
        held += count
    yield _add_facts(part, counts.keys())


def _add_facts(runs: Sequence[StoredRun], stored: Collection[UUID]) -> list[StoredRun]:
    having = [run.run_id for run in runs if run.run_id in stored]
    rows = reading(
        lambda: list(
            Fact.objects.filter(run_id__in=having)
            .exclude(proof=ADDED_BY_PERSON)
            .order_by("run_id", "fact_index")
            .values_list("run_id", *FactColumns._fields)
        )
    )
    found = {run_id: tuple(stored_fact(row[1:]) for row in group) for run_id, group in groupby(rows, itemgetter(0))}
    return [run._replace(facts=found.get(run.run_id, ())) if run.run_id in stored else run for run in runs]


def _selected(selection: RunSelection) -> Any:
    runs = Run.objects.exclude(status=RunStatus.RUNNING)
    if selection.since is not None:
        runs = runs.filter(started_utc__gte=selection.since)
    if selection.run_id is not None:
        runs = runs.filter(run_id=selection.run_id)
    if selection.shard is not None:
        number, parts = selection.shard
        runs = runs.alias(rest=F("run_seq") % parts).filter(rest=number - 1)
    return runs


def _read_batch(selection: RunSelection, after: int) -> list[StoredRun]:
    selected = _selected(selection).filter(run_seq__gt=after).order_by("run_seq")
    rows = list(selected.values_list("run_id", *_COLUMNS)[:BATCH_RUNS])
    artifacts = _artifacts_of([run_id for run_id, *_ in rows])
    tries = _tries([run_id for run_id, *_ in rows])
    return [StoredRun._make((*row, artifacts.get(run_id, ()), None, run_id in tries)) for run_id, *row in rows]


def _tries(run_ids: Sequence[UUID]) -> frozenset[UUID]:
    """Return which of the runs are an experiment's."""
    batches = Experiment.objects.values("batch_id")
    return frozenset(Run.objects.filter(run_id__in=run_ids, job__batch_id__in=batches).values_list("run_id", flat=True))


def _artifacts_of(run_ids: Sequence[UUID]) -> Mapping[UUID, tuple[StoredArtifact, ...]]:
    rows = Artifact.objects.filter(run_id__in=run_ids).order_by("run_id", "artifact_seq")
    found = groupby(rows.values_list("run_id", *_OF_ARTIFACT), key=lambda row: row[0])
    return {run_id: tuple(StoredArtifact(*row[1:]) for row in group) for run_id, group in found}


def stored_definitions() -> dict[str, Definition]:
    """Return all registered definitions by hash."""
    return {
        row.definition_sha256: Definition(
            interrogation_key=row.interrogation_key,
            version=row.version,
            prompt_template=row.prompt_template,
            output_schema_json=row.output_schema_json,
            rubric=row.rubric,
        )
        for row in reading(lambda: list(Interrogation.objects.all()))
    }


@dataclass(frozen=True, slots=True)
class KnownRun:
    """What SQL records of a run whose folder is in the lake; ``manifest_uri`` is None without a manifest row."""

    status: str
    error_kind: str | None
    manifest_uri: str | None


def known_runs(run_ids: Sequence[UUID]) -> dict[UUID, KnownRun]:
    """Return what SQL records of these runs; unknown ones are left out."""
    manifests = reading(
        lambda: dict(
            Artifact.objects.filter(run_id__in=run_ids, artifact_type="manifest").values_list("run_id", "lake_uri")
        )
    )
    runs = reading(lambda: list(Run.objects.filter(run_id__in=run_ids).values_list("run_id", "status", "error_kind")))
    return {run_id: KnownRun(status, error_kind, manifests.get(run_id)) for run_id, status, error_kind in runs}


def purged_runs(run_ids: Sequence[UUID]) -> set[UUID]:
    """Return which of these runs were purged."""
    return reading(lambda: set(LakeDeletion.objects.filter(run_id__in=run_ids).values_list("run_id", flat=True)))
