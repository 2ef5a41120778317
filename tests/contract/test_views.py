"""The views that people and other programs read, on the engine that DATABASE_URL names."""

import json
from typing import Any

from django.db import connection

from derive.contracts import RunFacts
from derive.queue import JobQueue
from tests.contract.scenes import KEY, claimed, failure, judged, success

FACTS: list[Any] = [
    {"fact_key": "home", "value": "Tatooine", "confidence": 90, "evidence_ids": ["e1", "e2"], "quote": "on Tatooine"},
    "no object",
    {"fact_key": "odd", "value": {"nested": 1}, "confidence": "sure", "evidence_ids": "e1"},
]


def rows_of(view: str) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM llm.{view}")
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def test_a_job_is_shown_without_its_payload(queue: JobQueue) -> None:
    claim = claimed(queue, entity_type="character", entity_id="luke")

    (row,) = rows_of("v_job_status")

    assert (row["status"], row["interrogation_key"], row["entity_id"]) == ("RUNNING", KEY, "luke")
    assert str(row["job_id"]).lower() == str(claim.job_id)
    assert not {"input_json", "evidence_ref_json"} & row.keys()


def test_a_runs_durations_are_numbers_or_null(queue: JobQueue) -> None:
    metrics = {"total_duration": 1_500_000_000, "load_duration": "long", "eval_duration": 7}
    queue.complete(success(claimed(queue), run=RunFacts(metrics_json=json.dumps(metrics), prompt_tokens=5)))

    (row,) = rows_of("v_run_metrics")

    assert (row["status"], row["prompt_tokens"], row["total_duration_ns"]) == ("SUCCEEDED", 5, 1_500_000_000)
    assert (row["load_duration_ns"], row["prompt_eval_duration_ns"], row["eval_duration_ns"]) == (None, None, 7)


def test_each_fact_of_a_succeeded_run_is_a_row(queue: JobQueue) -> None:
    claim = claimed(queue, entity_type="character", entity_id="luke")
    facts = RunFacts(output_json=json.dumps({"facts": FACTS}), interrogation_version="1.0.0", evidence_sha256="ab" * 32)
    queue.complete(success(claim, run=facts, facts=judged(facts.output_json or "")))

    first, odd = sorted(rows_of("v_entity_fact"), key=lambda row: row["fact_index"])

    assert (first["fact_index"], first["fact_key"], first["value"]) == (0, "home", "Tatooine")
    assert (first["confidence"], first["quote"]) == (90, "on Tatooine")
    assert json.loads(first["evidence_ids"]) == ["e1", "e2"]
    assert str(first["run_id"]).lower() == str(claim.run_id)
    assert (first["entity_id"], first["interrogation_version"]) == ("luke", "1.0.0")
    assert (odd["fact_index"], odd["confidence"], odd["evidence_ids"], odd["quote"]) == (2, None, None, None)
    assert json.loads(odd["value"]) == {"nested": 1}


def test_answers_whose_facts_nobody_judged_and_unsuccessful_runs_have_none(queue: JobQueue) -> None:
    queue.complete(success(claimed(queue), run=RunFacts(output_json=json.dumps({"facts": FACTS}))))
    queue.complete(success(claimed(queue), run=RunFacts(output_json='{"answer": "yes"}'), facts=()))
    queue.complete(failure(claimed(queue), run=RunFacts(output_json=json.dumps({"facts": FACTS}))))

    assert rows_of("v_entity_fact") == []
