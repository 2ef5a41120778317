"""The views on whatever a login of ``llm_worker`` can store: nothing fails the whole read, all of it stays data."""

import json
from typing import Any

import pytest

from derive.contracts import RunFacts
from derive.queue import JobQueue
from tests.contract.babelfish import Lack, lacks
from tests.contract.scenes import an_artifact, claimed, success
from tests.contract.test_views import rows_of

NESTED = "[" * 400 + "]" * 400

VALUES: list[tuple[str, str | None]] = [
    (r'"\u0000"', "�"),
    (r'"half \ud83d, other half \ude00"', "half �, other half �"),
    (r'"whole \ud83d\ude00"', "whole 😀"),
    (r'"about \\u0000 and \\ud83d"', r"about \u0000 and \ud83d"),
    (r'"\\\u0000"', "\\�"),
    ("\"=cmd|' /C calc'!A0\"", "=cmd|' /C calc'!A0"),
    ('"<script>alert(1)</script>"', "<script>alert(1)</script>"),
    ("null", None),
    ("true", "true"),
    ("-0.50", "-0.50"),
    (NESTED, NESTED),
]


@pytest.mark.parametrize(("stored", "shown"), VALUES, ids=range(len(VALUES)))
@lacks(Lack.JSON_ESCAPES)
def test_a_hostile_value_is_reported_as_text(queue: JobQueue, stored: str, shown: str | None) -> None:
    output = f'{{"facts": [{{"fact_key": "k", "value": {stored}}}]}}'
    queue.complete(success(claimed(queue), run=RunFacts(output_json=output)))
    (row,) = rows_of("v_entity_fact")
    if shown is not None and "�" in shown and row["value"] != shown:
        # An engine whose text can hold it shows it as it is.
        assert row["value"] == json.loads(stored)
    else:
        assert row["value"] == shown


def test_facts_of_every_wrong_shape_hide_no_good_one(queue: JobQueue) -> None:
    good = '{"facts": [null, 7, [], "x", {}, {"fact_key": "good", "value": "v", "confidence": 99999999999}]}'
    shapes = ['{"facts": null}', '{"facts": "x"}', '{"facts": {}}', '{"facts": 7}', '{"FACTS": [{}]}', "{}", good]
    for output in shapes:
        queue.complete(success(claimed(queue), run=RunFacts(output_json=output)))
    rows = sorted(rows_of("v_entity_fact"), key=lambda row: row["fact_index"])
    assert [(row["fact_index"], row["fact_key"], row["confidence"]) for row in rows] == [
        (4, None, None),
        (5, "good", None),
    ]


@pytest.mark.parametrize("duration", ['"\\u0000"', '"7; DROP TABLE llm.job"', "1e400", "[1]", "{}", "9" * 40])
def test_a_duration_that_is_no_whole_number_is_null(queue: JobQueue, duration: str) -> None:
    metrics = f'{{"total_duration": {duration}, "eval_duration": 5}}'
    queue.complete(success(claimed(queue), run=RunFacts(metrics_json=metrics)))
    (row,) = rows_of("v_run_metrics")
    assert (row["total_duration_ns"], row["eval_duration_ns"]) == (None, 5)


def test_a_fact_names_the_file_that_holds_its_answer(queue: JobQueue) -> None:
    answer: Any = an_artifact("parsed_output")
    output = RunFacts(output_json='{"facts": [{"fact_key": "k"}]}', model_name="llama3.2", model_tag="latest")
    queue.complete(success(claimed(queue), run=output, artifacts=(an_artifact(), answer)))
    (row,) = rows_of("v_entity_fact")
    assert (row["lake_uri"], row["content_sha256"]) == (answer.lake_uri, answer.content_sha256)
    assert row["model_tag"] == "latest"
