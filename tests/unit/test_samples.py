import json
from collections import Counter
from typing import Any

import pytest

from derive.contracts import Bounds
from derive.demo.judging import SampleResult, judge
from derive.demo.rules import find_facts
from derive.demo.samples import JUDGEMENTS, Sample, SampleInvalid, load_samples, read_samples
from derive.errors import ErrorKind
from derive.states import ENDED, JobStatus

SAMPLES = {sample.sample_id: sample for sample in load_samples()}
CHECKED = [sample for sample in SAMPLES.values() if not sample.straight]
AWKWARD = {
    "no-evidence": ErrorKind.EVIDENCE_MISSING,
    "missing-model": ErrorKind.MODEL_NOT_FOUND,
    "unknown-interrogation": ErrorKind.UNKNOWN_INTERROGATION,
    "invalid-input": ErrorKind.INVALID_INPUT,
}


def evidence_of(sample: Sample) -> list[dict[str, Any]]:
    """The inline evidence in the order a bundle has it."""
    items = json.loads(sample.job.input_json)["extra_params"].get("evidence", [])
    return sorted(items, key=lambda item: item["evidence_id"])


def text_of(sample_id: str) -> str:
    return "\n".join(item["text"] for item in evidence_of(SAMPLES[sample_id]))


def test_there_are_at_least_forty_passages_about_every_kind_of_entity() -> None:
    passages = [sample for sample in CHECKED if evidence_of(sample)]
    kinds = Counter(sample.job.entity_type for sample in passages)
    assert len(passages) >= 40
    assert set(kinds) == {"character", "planet", "starship", "organization", "species", "droid"}


def test_no_passage_occurs_twice() -> None:
    texts = Counter(item["text"] for sample in CHECKED for item in evidence_of(sample))
    assert [text for text, count in texts.items() if count > 1 and "Pip is" not in text] == []


@pytest.mark.parametrize("sample", CHECKED, ids=lambda sample: sample.sample_id)
def test_the_envelope_names_the_entity_the_job_names(sample: Sample) -> None:
    envelope = json.loads(sample.job.input_json)
    assert set(envelope) == {"entity_type", "entity_id", "source_refs", "extra_params"}
    assert (envelope["entity_type"], envelope["entity_id"]) == (sample.job.entity_type, sample.job.entity_id)


@pytest.mark.parametrize("sample", CHECKED, ids=lambda sample: sample.sample_id)
def test_the_rules_find_the_facts_a_sample_expects(sample: Sample) -> None:
    bounds = Bounds()
    found = {
        fact.fact_key
        for item in evidence_of(sample)[: bounds.max_items]
        for fact in find_facts(item["text"].encode()[: bounds.max_item_bytes].decode(errors="ignore"))
    }
    assert sample.expect.fact_keys <= found
    assert sample.expect.no_facts <= (not found)


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=lambda sample: sample.sample_id)
def test_every_sample_expects_an_end(sample: Sample) -> None:
    assert sample.expect.state in ENDED
    assert (sample.expect.error_kind is None) == (sample.expect.state is JobStatus.SUCCEEDED)


@pytest.mark.parametrize(("sample_id", "error_kind"), AWKWARD.items())
def test_what_cannot_be_asked_is_expected_to_fail(sample_id: str, error_kind: ErrorKind) -> None:
    sample = SAMPLES[sample_id]
    assert (sample.expect.state, sample.expect.error_kind) == (JobStatus.FAILED, error_kind)


def test_what_no_command_would_queue_goes_straight_to_the_procedure() -> None:
    assert {sample.sample_id for sample in SAMPLES.values() if sample.straight} == {
        "unknown-interrogation",
        "invalid-input",
    }


@pytest.mark.parametrize("sample_id", ["hidden-instruction", "fake-delimiters", "secrets"])
def test_texts_that_must_be_absent_from_the_answer_occur_in_the_evidence(sample_id: str) -> None:
    absent = SAMPLES[sample_id].expect.absent
    assert absent
    assert all(text in text_of(sample_id) for text in absent)


def test_one_sample_holds_a_key_and_an_address_to_redact() -> None:
    assert "api_key=" in text_of("secrets")
    assert "@" in text_of("secrets")
    assert SAMPLES["secrets"].expect.redacted_items


def test_one_sample_has_other_scripts_and_emoji() -> None:
    text = text_of("many-scripts")
    assert all(sign in text for sign in ("惑星", "планете", "πλανήτη", "كوكب", "🚀"))


@pytest.mark.parametrize("sample_id", ["harbour-log", "crew-cards"])
def test_evidence_over_a_bound_is_expected_to_be_cut(sample_id: str) -> None:
    bounds, items = Bounds(), evidence_of(SAMPLES[sample_id])
    too_long = {item["evidence_id"] for item in items if len(item["text"].encode()) > bounds.max_item_bytes}
    too_many = {item["evidence_id"] for item in items[bounds.max_items :]}
    assert SAMPLES[sample_id].expect.cut_items == too_long | too_many
    assert too_long | too_many


def test_two_sources_disagree_about_one_ship() -> None:
    lengths = {fact.value for fact in find_facts(text_of("disagreement")) if fact.fact_key == "length"}
    assert len(lengths) == 2


def line_of(job: dict[str, Any], **expect: Any) -> str:
    return json.dumps({"sample_id": "a", "title": "b", "job": job, "expect": {"depends_on_model": [], **expect}})


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "line 1: "),
        ('{"sample_id": "a"}', "line 1: 'title'"),
        ('{"sample_id": "a", "titel": "b"}', "line 1: unknown: titel"),
        (line_of({"interrogation_key": "k", "input": []}, state="FAILED"), "must be a JSON object"),
        (line_of({"interrogation_key": "k", "input": {}}, state="DONE"), "'DONE' is not a valid JobStatus"),
        (line_of({"interrogation_key": "k", "input": {}, "n": 1}, state="FAILED"), "Extra inputs"),
    ],
)
def test_a_wrong_sample_is_refused_with_its_line(line: str, why: str) -> None:
    with pytest.raises(SampleInvalid, match=why):
        read_samples(line)


def test_a_duplicate_sample_is_refused() -> None:
    line = line_of({"interrogation_key": "k", "input": {}}, state="FAILED")
    assert len(read_samples(f"{line}\n\n")) == 1
    with pytest.raises(SampleInvalid, match=r"line 3: the sample 'a' stands there twice"):
        read_samples(f"{line}\n\n{line}")


def seen_as_expected(sample: Sample) -> SampleResult:
    expect = sample.expect
    return SampleResult(
        state=expect.state,
        error_kind=expect.error_kind,
        runs=expect.runs,
        fact_keys=tuple(expect.fact_keys),
        cut_items=expect.cut_items,
        redacted_items=expect.redacted_items,
    )


@pytest.mark.parametrize("sample", SAMPLES.values(), ids=lambda sample: sample.sample_id)
def test_an_end_as_expected_passes_every_judgement(sample: Sample) -> None:
    judgements = judge(sample, seen_as_expected(sample), real_model=False)
    assert [judgement.name for judgement in judgements] == list(JUDGEMENTS)
    assert all(judgement.passed and judgement.counts for judgement in judgements)


@pytest.mark.parametrize(
    ("sample_id", "name", "changes"),
    [
        ("luke", "state", {"state": JobStatus.DEADLETTER}),
        ("luke", "error_kind", {"error_kind": ErrorKind.INTERNAL}),
        ("asked-again", "runs", {"runs": 1}),
        ("luke", "fact_keys", {"fact_keys": ("species",)}),
        ("nothing-to-find", "no_facts", {"fact_keys": ("weather",)}),
        ("hidden-instruction", "absent", {"answer_text": '{"facts": "PWNED-BY-EVIDENCE"}'}),
        ("secrets", "absent", {"evidence_text": "joon.abet@harbour-of-sennet.example"}),
        ("harbour-log", "cut_items", {"cut_items": frozenset()}),
        ("secrets", "redacted_items", {"redacted_items": frozenset()}),
    ],
)
def test_another_end_fails_its_judgement_and_no_other(sample_id: str, name: str, changes: dict[str, Any]) -> None:
    sample = SAMPLES[sample_id]
    seen = SampleResult(**{**vars(seen_as_expected(sample)), **changes})
    failed = [judgement for judgement in judge(sample, seen, real_model=False) if not judgement.passed]
    assert [judgement.name for judgement in failed] == [name]
    assert failed[0].why


def test_what_depends_on_the_model_does_not_count_with_a_real_one() -> None:
    judgements = judge(SAMPLES["secrets"], seen_as_expected(SAMPLES["secrets"]), real_model=True)
    counting = {judgement.name for judgement in judgements if judgement.counts}
    assert counting == {"no_facts", "absent", "cut_items", "redacted_items"}
