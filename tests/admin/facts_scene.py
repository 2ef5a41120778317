"""Answers whose facts are stored and whose evidence is in a lake, for pages, exports and reports."""

import json
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.urls import reverse

from derive.contracts import JobInput, JudgedFact, Outcome, RunFacts
from derive.lake import Lake, artifact_facts
from derive.queue import JobQueue
from derive.states import RunStatus, Verdict

KEY = "sw_entity_facts_v1"
MAX_QUERIES = 12
LIST = "/admin/derive/fact/"
ENTITY = "/admin/derive/fact/entity/"
TEXT = "Tala Venn was born on Corvessa in 19 BBY. She never served in the Survey Guild."
QUOTES = ("was born on Corvessa", "born on Corvessa in 19 BBY", "served in the Survey Guild")


def a_fact(fact_index: int, quote: str, *, text: str = TEXT, **values: Any) -> JudgedFact:
    """A fact whose quote stands in the text of the item e1."""
    start = text.index(quote)
    given = {
        "path": f"facts[{fact_index}]",
        "fact_key": f"key_{fact_index}",
        "value": f"value {fact_index}",
        "value_key": f"value {fact_index}",
        "quote": quote,
        "evidence_id": "e1",
        "evidence_ids": ("e1",),
        "quote_start": start,
        "quote_end": start + len(quote),
        "occurrences": 1,
        "proof": "words",
        "verdict": Verdict.SUPPORTED,
        **values,
    }
    return JudgedFact(fact_index=fact_index, **given)


def a_lost_fact(fact_index: int, **values: Any) -> JudgedFact:
    """A fact whose quote stands nowhere."""
    given: dict[str, Any] = {
        "path": f"facts[{fact_index}]",
        "fact_key": "home",
        "value": "Arrel",
        "quote": "lives on Arrel",
    }
    given |= {"evidence_ids": ("e1",), "proof": "quote", "verdict": Verdict.NOT_ENOUGH_INFO, "why": "No such place."}
    return JudgedFact(fact_index=fact_index, **given | values)


def review_only_doubted_facts() -> None:
    """Take no sample of the admitted facts, which would come to review at random."""
    JobQueue().set_review_policy(KEY, actor="ada", sample_percent=Decimal(0))


def three_facts() -> tuple[JudgedFact, ...]:
    """One supported, one refuted that overlaps it, one that nothing decides."""
    return (
        a_fact(0, QUOTES[0], fact_key="birth_place", value="Corvessa", value_key="corvessa"),
        a_fact(
            1,
            QUOTES[1],
            fact_key="birth",
            value="41 BBY",
            value_key=None,
            verdict=Verdict.REFUTED,
            why="The quote says 19 BBY, the value 41 BBY.",
        ),
        a_fact(2, QUOTES[2], fact_key="guild", value="Survey Guild", value_key=None, verdict=Verdict.NOT_ENOUGH_INFO),
    )


def told(
    lake: Lake,
    facts: tuple[JudgedFact, ...] | None,
    *,
    text: str = TEXT,
    evidence_sha256: str = "ab" * 32,
    run: dict[str, Any] | None = None,
    **job: Any,
) -> tuple[UUID, UUID]:
    """Let a run answer a job with these facts over this evidence; the ids of job and run."""
    queue = JobQueue()
    named = {"entity_type": "character", "entity_id": "tala-venn", "priority": 1_000_000}
    job_id = queue.enqueue(JobInput(**{"interrogation_key": KEY, "input_json": "{}", **named, **job})).job_id
    (claim,) = queue.claim("worker-1")
    assert claim.job_id == job_id
    output = json.dumps({"facts": [_as_answered(fact) for fact in facts or ()]})
    bundle = {"items": [{"evidence_id": "e1", "source_uri": "urn:test:1", "text": text}]}
    files = {"evidence.json": json.dumps(bundle).encode(), "output.json": output.encode()}
    folder = lake.run_folder(claim.started_utc, claim.run_id)
    written = lake.write_all(folder, files)
    stored = {"model_name": "llama3.2", "model_tag": "latest", "interrogation_version": "1.0.0", **(run or {})}
    outcome = Outcome(
        job_id=job_id,
        run_id=claim.run_id,
        status=RunStatus.SUCCEEDED,
        run=RunFacts(output_json=output, evidence_sha256=evidence_sha256, **stored),
        artifacts=artifact_facts(claim.run_id, folder, written),
        facts=facts,
    )
    assert queue.complete(outcome).accepted
    return job_id, claim.run_id


def _as_answered(fact: JudgedFact) -> dict[str, Any]:
    names = ("fact_key", "value", "quote", "evidence_ids", "confidence")
    return {name: getattr(fact, name) for name in names if getattr(fact, name) is not None}


def job_page(job_id: UUID) -> str:
    return reverse("admin:derive_job_change", args=[job_id])
