"""Facts for the tests: made, stored by a completion, and read back."""

import json
from typing import Any

from django.db import connection

from derive.contracts import Claim, JudgedFact, RunFacts
from derive.models import Fact
from derive.queue import JobQueue
from derive.sql import payloads
from derive.states import ReviewStatus, Verdict
from tests.contract.scenes import ACTOR, claimed, success

LUKE = {"entity_type": "character", "entity_id": "luke"}

EVIDENCE, OTHER_EVIDENCE = "ab" * 32, "cd" * 32


def a_fact(fact_index: int = 0, **values: Any) -> JudgedFact:
    text = str(values.get("value", "19 BBY"))
    given = {
        "path": f"facts[{fact_index}]",
        "fact_key": "birth",
        "value": text,
        "value_key": text.lower(),
        "quote": f"in {text}",
        "evidence_id": "e1",
        "quote_start": 3,
        "quote_end": 6 + len(text),
        "occurrences": 1,
        "proof": "date",
        "verdict": Verdict.SUPPORTED,
        **values,
    }
    return JudgedFact(fact_index=fact_index, **given)


def told(queue: JobQueue, *facts: JudgedFact, evidence: str | None = EVIDENCE, **job: Any) -> Claim:
    """Queue a job about Luke and let a run answer it with these facts."""
    claim = claimed(queue, **{**LUKE, **job})
    assert queue.complete(success(claim, run=RunFacts(evidence_sha256=evidence), facts=facts)).accepted
    return claim


def facts_of(claim: Claim) -> list[Any]:
    return list(Fact.objects.filter(run_id=claim.run_id).order_by("fact_index"))


def conflicts() -> dict[str, set[str]]:
    """The values that share each conflict, by its id."""
    found: dict[str, set[str]] = {}
    for fact in Fact.objects.exclude(conflict_id=None):
        found.setdefault(str(fact.conflict_id), set()).add(fact.value)
    return found


def completing(claim: Claim, *facts: JudgedFact, evidence: str = EVIDENCE) -> dict[str, Any]:
    """The arguments of a completion with facts."""
    return {
        "job_id": claim.job_id,
        "run_id": claim.run_id,
        "status": "SUCCEEDED",
        "run_json": json.dumps({"evidence_sha256": evidence}),
        "facts_json": payloads.facts_json(facts),
    }


def decide(fact: Any, status: ReviewStatus, corrected_value: str | None = None) -> None:
    """Decide about a fact as a review would."""
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE llm.fact SET review_status = %s, reviewed_by = %s, corrected_value = %s WHERE fact_seq = %s",
            [status, ACTOR, corrected_value, fact.fact_seq],
        )


def slot_of(entity_id: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT llm.entity_slot('character', %s)", [entity_id])
        return int(cursor.fetchone()[0])
