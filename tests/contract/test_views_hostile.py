"""The views on whatever a login of ``llm_worker`` can store: nothing fails the whole read, all of it stays data."""

from typing import Any

import pytest

from derive.contracts import JudgedFact, RunFacts
from derive.queue import JobQueue
from tests.contract.scenes import an_artifact, claimed, judged, success
from tests.contract.test_views import rows_of

NESTED = "[" * 400 + "]" * 400

VALUES = [
    ("about \x00 and \ud83d", "about \ufffd and \ufffd"),
    (r"about \u0000 and \ud83d", r"about \u0000 and \ud83d"),
    ("whole \U0001f600", "whole \U0001f600"),
    ("=cmd|' /C calc'!A0", "=cmd|' /C calc'!A0"),
    ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ("\u202eright to left", "\u202eright to left"),
    (NESTED, NESTED),
    ("9" * 300, "9" * 300),
    ("", ""),
    (None, None),
]


@pytest.mark.parametrize(("stored", "shown"), VALUES, ids=range(len(VALUES)))
def test_a_hostile_value_is_reported_as_text(queue: JobQueue, stored: str | None, shown: str | None) -> None:
    fact = JudgedFact(fact_index=0, path="facts[0]", value=stored, quote=stored, proof="words", verdict="SUPPORTED")
    queue.complete(success(claimed(queue), facts=(fact,)))
    (row,) = rows_of("v_entity_fact")
    assert (row["value"], row["quote"]) == (shown, shown)


@pytest.mark.parametrize("duration", ['"\\u0000"', '"7; DROP TABLE llm.job"', "1e400", "[1]", "{}", "9" * 40])
def test_a_duration_that_is_no_whole_number_is_null(queue: JobQueue, duration: str) -> None:
    metrics = f'{{"total_duration": {duration}, "eval_duration": 5}}'
    queue.complete(success(claimed(queue), run=RunFacts(metrics_json=metrics)))
    (row,) = rows_of("v_run_metrics")
    assert (row["total_duration_ns"], row["eval_duration_ns"]) == (None, 5)


def test_a_fact_names_the_file_that_holds_its_answer(queue: JobQueue) -> None:
    answer: Any = an_artifact("parsed_output")
    output = RunFacts(output_json='{"facts": [{"fact_key": "k"}]}', model_name="llama3.2", model_tag="latest")
    facts = judged(output.output_json or "")
    queue.complete(success(claimed(queue), run=output, artifacts=(an_artifact(), answer), facts=facts))
    (row,) = rows_of("v_entity_fact")
    assert (row["lake_uri"], row["content_sha256"]) == (answer.lake_uri, answer.content_sha256)
    assert row["model_tag"] == "latest"
