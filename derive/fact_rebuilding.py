"""Rebuilds the facts of earlier runs from their evidence and output in the lake, after checking the hashes."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef
from pydantic import ValidationError

from derive.contracts import JudgedFact
from derive.errors import ConfigurationError, LakeError
from derive.evidence.bundle import bundle_faults
from derive.evidence.contracts import EvidenceBundle
from derive.facts.judging import judge_facts
from derive.facts.terms import entity_of
from derive.interrogations.definition import Definition
from derive.interrogations.validation import MAX_FACTS
from derive.lake import Lake
from derive.models import Artifact, Experiment, FactSet, Run
from derive.queue import JobQueue
from derive.sql.reading import reading
from derive.states import RunStatus
from derive.strict_types import parse_json
from derive.verify.findings import Findings
from derive.verify.joined import join_again
from derive.verify.reading import stored_definitions

BATCH_RUNS = 100
MAX_FILE_BYTES = 32 * 1024 * 1024
"""Twice the longest answer that a worker accepts."""
_COLUMNS = ("run_seq", "run_id", "definition_sha256", "evidence_sha256", "job__input_json")


class CannotRebuild(Exception):
    """A run's facts cannot be rebuilt; the message never repeats its files' contents."""


@dataclass(frozen=True)
class RebuildSelection:
    """Which SUCCEEDED runs: started since a time, at most ``limit``; ``again`` includes those with stored facts."""

    since: datetime | None = None
    limit: int | None = None
    again: bool = False


@dataclass
class RebuildReport:
    """A rebuild's progress. ``failed`` gives for each run why its facts were not rebuilt."""

    runs: int = 0
    facts: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[UUID, str]] = field(default_factory=list)


def count_to_rebuild(selection: RebuildSelection) -> int:
    """Return the number of selected runs; raises QueueError."""
    count = reading(lambda: int(_selected(selection).count()))
    return count if selection.limit is None else min(count, selection.limit)


def rebuild_facts(
    lake: Lake,
    selection: RebuildSelection,
    *,
    actor: str,
    dry_run: bool = False,
    on_progress: Callable[[RebuildReport], None] = lambda _: None,
) -> RebuildReport:
    """Judge the answers of the selected runs, by number, and store their facts, one transaction per run.

    Interrupted, it resumes when called again, since runs with stored facts are no longer selected. Ids and reviews of
    unchanged facts are kept. Raises QueueError, LakeUnavailable.
    """
    queue = JobQueue()
    report = RebuildReport()
    definitions: dict[str, Definition] = {}
    for row in _runs(selection):
        _, run_id, definition_sha256, *_rest = row
        if definition_sha256 not in definitions:
            definitions = stored_definitions()
        try:
            facts = _judged(lake, definitions.get(definition_sha256), row)
            if not dry_run:
                stored = queue.rebuild_facts(run_id, facts, actor=actor)
                if not stored.stored:
                    raise CannotRebuild(stored.why or "the database refused it")
        except CannotRebuild as error:
            report.failed.append((run_id, str(error)))
        else:
            report.facts += len(facts)
            report.verdicts.update(fact.verdict.value for fact in facts)
        report.runs += 1
        on_progress(report)
    return report


def _selected(selection: RebuildSelection) -> Any:
    # The facts of parts are stored with the joined answer; answers of experiments are tries, nobody's facts.
    tries = Experiment.objects.filter(batch_id=OuterRef("job__batch_id"))
    runs = Run.objects.filter(status=RunStatus.SUCCEEDED, job__parent_job_id__isnull=True).exclude(Exists(tries))
    if selection.since is not None:
        runs = runs.filter(started_utc__gte=selection.since)
    if not selection.again:
        runs = runs.exclude(Exists(FactSet.objects.filter(run_id=OuterRef("run_id"))))
    return runs


def _runs(selection: RebuildSelection) -> Iterator[tuple[Any, ...]]:
    """Yield the selected runs by number, one page at a time."""
    last_seq, left = 0, selection.limit
    while left is None or left > 0:
        size = BATCH_RUNS if left is None else min(BATCH_RUNS, left)
        page = reading(lambda after=last_seq, size=size: _page(selection, after, size))  # type: ignore[misc] # bound early
        if not page:
            return
        yield from page
        last_seq = page[-1][0]
        left = None if left is None else left - len(page)


def _page(selection: RebuildSelection, after: int, size: int) -> list[tuple[Any, ...]]:
    rows = _selected(selection).filter(run_seq__gt=after).order_by("run_seq").values_list(*_COLUMNS)
    return list(rows[:size])


def _judged(lake: Lake, definition: Definition | None, row: tuple[Any, ...]) -> tuple[JudgedFact, ...]:
    _, run_id, definition_sha256, evidence_sha256, input_json = row
    if definition is None:
        raise CannotRebuild(f"llm.interrogation has no definition {definition_sha256}")
    files = _files(lake, run_id)
    try:
        bundle = EvidenceBundle.model_validate_json(files["evidence_bundle"])
        answer = parse_json(files["parsed_output"].decode())
        job_input = parse_json(input_json)
        rules = definition.fact_rules
    except ValidationError as error:
        raise CannotRebuild(f"its evidence.json is not an evidence bundle ({error.error_count()} faults)") from None
    except (ValueError, ConfigurationError) as error:
        raise CannotRebuild(f"what it left cannot be read: {type(error).__name__}") from None
    if bundle.sha256 != evidence_sha256 or bundle_faults(bundle):
        raise CannotRebuild("its evidence.json is not the evidence that the run names")
    entity = entity_of(job_input if isinstance(job_input, dict) else {})
    if "parts" in files:
        findings = Findings(run_id)
        joined = join_again(files["parts"], bundle, definition, findings, entity=entity, read_lake=lake.read)
        if joined is None:
            raise CannotRebuild(findings.found[0].what)
        # The answer alone does not tell the places of its facts.
        facts = joined.facts
    else:
        facts = judge_facts(answer, bundle, rules, entity=entity).facts
    if len(facts) > MAX_FACTS:
        raise CannotRebuild(f"its answer has {len(facts)} facts, and at most {MAX_FACTS} are stored")
    return facts


def _files(lake: Lake, run_id: UUID) -> dict[str, bytes]:
    """Return a run's evidence, output and parts (if any) by artifact type, after checking their recorded hashes."""
    needed = ("evidence_bundle", "parsed_output")
    wanted = (*needed, "parts")
    rows = reading(
        lambda: list(
            Artifact.objects.filter(run_id=run_id, artifact_type__in=wanted).values_list(
                "artifact_type", "lake_uri", "content_sha256"
            )
        )
    )
    files = {}
    for artifact_type, uri, sha256 in rows:
        try:
            content = lake.read(uri, max_bytes=MAX_FILE_BYTES)
        except LakeError as error:
            raise CannotRebuild(str(error)) from error
        if hashlib.sha256(content).hexdigest() != sha256:
            raise CannotRebuild(f"{uri} does not have the SHA-256 that SQL recorded")
        files[artifact_type] = content
    missing = [name for name in needed if name not in files]
    if missing:
        raise CannotRebuild(f"it has no artifact row of {' and '.join(missing)}")
    return files
