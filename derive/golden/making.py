"""Makes a golden case of a reviewed answer: what was asked, its evidence as stored, and the facts that stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from derive.experiments.answers import rules_of, statements_in
from derive.fact_report.reading import facts_of_run
from derive.fact_report.stored import RunEvidence, StoredFact, read_evidence
from derive.golden.checking import CaseRefused, check_case
from derive.golden.lines import MAX_EXPECTED
from derive.golden_contracts import SaveOutcome
from derive.interrogations.registry import Registry
from derive.interrogations.rendering import without_evidence
from derive.lake import Lake
from derive.models import Artifact, FactReview, GoldenCase, Job, Run
from derive.plural import plural
from derive.queue import JobQueue
from derive.sql.reading import reading
from derive.states import ReviewStatus, RunStatus
from derive.strict_types import parse_json

_DECIDED = frozenset({ReviewStatus.ACCEPTED, ReviewStatus.CORRECTED, ReviewStatus.REJECTED})
_KEY_CHARACTERS = 180
"""Of an entity's id, so that the start of a run's id fits behind it."""
_NAMED = 5
_TRIES = 3


@dataclass(frozen=True)
class MadeCase:
    """A case that was made, or was there already.

    ``expected`` counts its facts, ``unreviewed`` those of them that nobody has decided about.
    """

    case_id: UUID
    set_name: str
    case_key: str
    outcome: SaveOutcome
    expected: int
    unreviewed: int


def make_case(run_id: UUID, *, set_name: str, actor: str, lake: Lake, registry: Registry, queue: JobQueue) -> MadeCase:
    """Save a golden case of a run's answer. Repeatable: an answer has one case in a set, which follows its reviews.

    Expected are the facts that people accepted or corrected, and those that nobody has to decide about. Raises
    CaseRefused while a fact is open, if nobody has decided about any, or if the case cannot be asked again; LakeError,
    QueueError.
    """
    run, job = _answer(run_id)
    facts = facts_of_run(run_id, most=MAX_EXPECTED + 1)
    _check_reviewed(facts)
    standing = [fact for fact in facts if fact.review_status != ReviewStatus.REJECTED]
    review = FactReview.objects.filter(run_id=run_id).order_by("-review_seq").values_list("review_id", flat=True)
    members = {
        "set": set_name,
        "interrogation": job.interrogation_key,
        "input": without_evidence(parse_json(job.input_json)),
        "evidence": _evidence(run_id, lake),
        "expected": _expected(run, standing),
        "from_run": str(run_id),
        "from_review": str(reading(review.first)),
    }
    others = GoldenCase.objects.filter(set_name=set_name).exclude(interrogation_key=job.interrogation_key)
    if reading(others.exists):
        raise CaseRefused(f"the set {set_name!r} has cases of another interrogation: choose another set")
    for _ in range(_TRIES):
        key, is_ours = _key(set_name, run_id, job)
        case = check_case({**members, "case": key}, registry)
        (outcome,) = queue.save_golden_cases([case], actor=actor, replaces=is_ours)
        # Another answer's case took the key meanwhile, or the case was removed: choose again.
        saved = GoldenCase.objects.filter(set_name=set_name, case_key=key).values_list("case_id", flat=True)
        case_id: UUID | None = None if outcome is SaveOutcome.EXISTS else reading(saved.first)
        if case_id is not None:
            unreviewed = sum(fact.review_status not in _DECIDED for fact in standing)
            return MadeCase(case_id, set_name, key, outcome, len(members["expected"]), unreviewed)
    raise CaseRefused(f"somebody else is saving a case of this entity in {set_name!r}: try again")


def _answer(run_id: UUID) -> tuple[Run, Job]:
    run: Run | None = reading(Run.objects.filter(run_id=run_id, status=RunStatus.SUCCEEDED).first)
    job: Job | None = None if run is None else reading(Job.objects.filter(job_id=run.job_id).first)
    if run is None or job is None:
        raise CaseRefused("there is no such answer: its run did not succeed, or was purged")
    return run, job


def _check_reviewed(facts: Sequence[StoredFact]) -> None:
    if len(facts) > MAX_EXPECTED:
        raise CaseRefused(f"the answer has more than {MAX_EXPECTED:,} facts")
    undecided = [fact for fact in facts if fact.review_status not in _DECIDED and not fact.admitted]
    if undecided:
        named = ", ".join(fact.fact_key or "no key" for fact in undecided[:_NAMED])
        more = f" and {len(undecided) - _NAMED} more" if len(undecided) > _NAMED else ""
        raise CaseRefused(f"{plural(len(undecided), 'fact')} of this answer must be decided first: {named}{more}")
    if not any(fact.review_status in _DECIDED for fact in facts):
        raise CaseRefused("nobody has decided about a fact of this answer: review at least one")


def _evidence(run_id: UUID, lake: Lake) -> list[dict[str, str]]:
    rows = Artifact.objects.filter(run_id=run_id, artifact_type="evidence_bundle").values_list(
        "lake_uri", "content_sha256"
    )
    found: tuple[str, str] | None = reading(rows.first)
    evidence = RunEvidence(fault="No evidence is on record for this answer.")
    if found is not None:
        evidence = read_evidence(lake, *found)
    if evidence.fault:
        raise CaseRefused(evidence.fault)
    return [
        {"evidence_id": name, "text": item.text, **({"source_uri": item.source} if item.source else {})}
        for name, item in evidence.items.items()
    ]


def _expected(run: Run, facts: Sequence[StoredFact]) -> list[dict[str, Any]]:
    """Return the facts as a line has them: with the value of the answer, or the one that it was corrected to."""
    (rules,) = rules_of([run.definition_sha256 or ""])
    stated = {one.path: one for one in statements_in(run.output_json, rules)}
    expected = []
    for fact in facts:
        statement = stated.get(fact.path)
        key = fact.fact_key or (statement.key if statement else "")
        value = fact.corrected_value or (statement.value if statement else fact.value)
        if not key or value is None:
            continue
        placed = {"quote": fact.quote, "evidence_id": fact.evidence_id} if fact.quote_start is not None else {}
        expected.append({"key": key, "value": value, **{name: text for name, text in placed.items() if text}})
    return expected


def _key(set_name: str, run_id: UUID, job: Job) -> tuple[str, bool]:
    """Return the case's key, and whether the set has this answer's case already."""
    cases = GoldenCase.objects.filter(set_name=set_name)
    ours: str | None = reading(cases.filter(from_run_id=run_id).values_list("case_key", flat=True).first)
    if ours is not None:
        return ours, True
    key = (job.entity_id or str(job.job_id)).strip()[:_KEY_CHARACTERS].strip()
    return (f"{key} ({str(run_id)[:8]})" if reading(cases.filter(case_key=key).exists) else key), False
