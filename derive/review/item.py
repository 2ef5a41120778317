"""What a reviewer sees of one fact: its evidence with the quote marked, the doubt, and what else is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from derive.fact_report.reading import facts_numbered
from derive.fact_report.shown import MarkedFacts, ShownFact, show_facts
from derive.fact_report.stored import RunEvidence, StoredFact, read_evidence
from derive.lake import Lake
from derive.models import Artifact, Fact, FactReview, Run
from derive.plural import plural
from derive.states import Verdict

MAX_OTHERS = 200
"""Newest facts of the entity that are looked at for what else is known."""
MAX_SAME_KEY = 12
MAX_OTHER_KEYS = 20
MAX_OPINIONS = 10
_RUN_COLUMNS = ("run_id", "model_name", "model_tag", "interrogation_version", "completed_utc")


@dataclass(frozen=True)
class ReviewItem:
    """One fact on a reviewer's screen.

    ``same_key``: what other answers, and this one, say about the same key, newest first. ``other_keys``: the entity's
    other values, one a key. ``opinions``: what people said before, newest first.
    """

    row: Fact
    run: Run | None
    fact: ShownFact
    marked: MarkedFacts
    fault: str
    doubt: str
    same_key: tuple[tuple[ShownFact, Run | None], ...]
    other_keys: tuple[ShownFact, ...]
    opinions: tuple[FactReview, ...]


def evidence_of_run(run_id: UUID, lake: Lake) -> RunEvidence:
    """Return the evidence of a run from the lake, or why there is none; raises LakeUnavailable."""
    rows = Artifact.objects.filter(run_id=run_id, artifact_type="evidence_bundle")
    found = rows.values_list("lake_uri", "content_sha256").first()
    return (
        RunEvidence(fault="No evidence is on record for this answer.") if found is None else read_evidence(lake, *found)
    )


def review_item(fact_id: UUID, lake: Lake) -> ReviewItem | None:
    """Return a fact as a reviewer sees it, or None if it is gone; raises LakeUnavailable."""
    row = Fact.objects.filter(fact_id=fact_id).first()
    if row is None:
        return None
    numbers = _numbers_of_entity(row)
    stored = {one.fact_seq: one for one in facts_numbered([row.fact_seq, *numbers])}
    itself = stored.get(row.fact_seq)
    if itself is None:
        return None
    evidence = evidence_of_run(row.run_id, lake)
    marked = show_facts([itself], evidence.items)
    others = [stored[number] for number in numbers if number in stored and number != row.fact_seq]
    same_key = [one for one in others if one.fact_key == row.fact_key][:MAX_SAME_KEY]
    runs = _runs({row.run_id, *(one.run_id for one in same_key)})
    return ReviewItem(
        row=row,
        run=runs.get(row.run_id),
        fact=marked.facts[0],
        marked=marked,
        fault=evidence.fault,
        doubt=_doubt(itself, row, same_key),
        same_key=tuple((one, runs.get(one.stored.run_id or row.run_id)) for one in show_facts(same_key, {}).facts),
        other_keys=show_facts(_one_a_key(others, row.fact_key), {}).facts,
        opinions=tuple(FactReview.objects.filter(fact_id=fact_id).order_by("-review_seq")[:MAX_OPINIONS]),
    )


def _numbers_of_entity(row: Fact) -> list[int]:
    """Return the newest facts of the same entity; of a fact without one, those of its answer."""
    facts = (
        Fact.objects.filter(entity_id=row.entity_id, entity_type=row.entity_type)
        if row.entity_id
        else Fact.objects.filter(run_id=row.run_id)
    )
    return list(facts.order_by("-fact_seq").values_list("fact_seq", flat=True)[:MAX_OTHERS])


def _runs(run_ids: set[Any]) -> dict[UUID, Run]:
    return {run.run_id: run for run in Run.objects.filter(run_id__in=run_ids).only(*_RUN_COLUMNS)}


def _one_a_key(facts: Sequence[StoredFact], but: str | None) -> list[StoredFact]:
    """Return a fact of each other key: the newest admitted one, or else the newest."""
    chosen: dict[str, StoredFact] = {}
    for one in sorted(facts, key=lambda fact: (not fact.admitted, -fact.fact_seq)):
        if one.fact_key and one.fact_key != but and one.is_current:
            chosen.setdefault(one.fact_key, one)
    return [chosen[key] for key in sorted(chosen)][:MAX_OTHER_KEYS]


def _doubt(fact: StoredFact, row: Fact, same_key: Sequence[StoredFact]) -> str:
    """Say in a sentence why a person is asked."""
    if row.review_priority is None:
        return "Nobody has to decide about it; you may all the same."
    if row.review_round:
        return f"{plural(row.review_round, 'opinion')} so far; another one is needed."
    if fact.verdict == Verdict.REFUTED.value:
        return "The quote contradicts the value."
    if fact.verdict == Verdict.NOT_ENOUGH_INFO.value:
        return "The quote may not prove the value."
    if fact.conflict_id is not None:
        others = {one.value_key for one in same_key if one.is_current and one.value_key} - {fact.value_key}
        return f"Other facts say something else ({plural(len(others), 'other value')})."
    return "Random check: it is admitted, and no rule doubts it."
