"""Every sample's prompt as it is really rendered, answered by the stand-in and held against its interrogation."""

import json
from typing import Any, NoReturn

import pytest

from derive.demo.chat import compose, read_call
from derive.demo.samples import Sample, load_samples
from derive.errors import ErrorKind, EvidenceMissing, RunError
from derive.evidence.bundle import build_bundle
from derive.evidence.contracts import EvidenceBundle
from derive.evidence.redaction import Redactor
from derive.evidence.sources import collect_sources
from derive.facts.terms import Terms
from derive.interrogations.definition import Correction, Definition
from derive.interrogations.registry import Registry
from derive.model_servers.settings import ModelSettings
from derive.states import Verdict

REGISTRY = Registry.load(None)
OLLAMA = ModelSettings()
SAMPLES = {sample.sample_id: sample for sample in load_samples()}
ANSWERED = [sample for sample in SAMPLES.values() if not sample.straight and "no-evidence" not in sample.sample_id]


def nothing(_where: Any) -> NoReturn:
    raise AssertionError("the samples carry their evidence with them")


def bundle_of(sample: Sample) -> EvidenceBundle:
    sources = collect_sources(
        job_input=json.loads(sample.job.input_json),
        evidence_ref_json=sample.job.evidence_ref_json,
        read_lake=nothing,
        read_run_output=nothing,
    )
    bounds = REGISTRY.get(sample.job.interrogation_key).bounds
    return build_bundle(sources, bounds=bounds, redactor=Redactor(), delimiter_key=b"key")


def definition_of(sample: Sample) -> Definition:
    return REGISTRY.get(sample.job.interrogation_key).definition


def ask(sample: Sample, bundle: EvidenceBundle, *, num_predict: int = OLLAMA.num_predict, **kinds: Any) -> Any:
    definition = definition_of(sample)
    prompt = definition.render(input=json.loads(sample.job.input_json), bundle=bundle, **kinds)
    question = {
        "model": "holocron-demo",
        "messages": [{"role": "user", "content": prompt}],
        "format": definition.output_schema,
        "options": {"num_ctx": OLLAMA.num_ctx, "num_predict": num_predict},
        "truncate": False,
    }
    return compose(read_call(question))


@pytest.mark.parametrize("sample", ANSWERED, ids=lambda sample: sample.sample_id)
def test_the_stand_in_answers_every_sample_as_it_should_end(sample: Sample) -> None:
    REGISTRY.check(sample.job)
    bundle = bundle_of(sample)
    answer = ask(sample, bundle)
    if sample.sample_id == "aster-landing":
        assert answer.done_reason == "length"
        answer = ask(sample, bundle, num_predict=2 * OLLAMA.num_predict)
    if sample.sample_id == "asked-again":
        refused = definition_of(sample).validate(answer.content, bundle)
        assert refused.error is not None
        assert refused.error.kind is ErrorKind.UNGROUNDED_OUTPUT
        correction = Correction(
            previous_run_id="00000000-0000-0000-0000-000000000001",
            error_kind=refused.error.kind,
            what_was_wrong="a quote does not stand in the evidence",
        )
        answer = ask(sample, bundle, correction=correction)
    assert answer.done_reason == "stop"
    output_model = REGISTRY.get(sample.job.interrogation_key).output_model
    terms = Terms(may_ask_again=sample.job.max_attempts > 1)
    validation = definition_of(sample).validate(answer.content, bundle, output_model=output_model, terms=terms)
    assert validation.error is None
    is_doubtful = sample.sample_id == "facts-of-each-verdict"
    assert {fact.verdict for fact in validation.facts} <= (set(Verdict) if is_doubtful else {Verdict.SUPPORTED})
    found = {fact["fact_key"] for fact in validation.value["facts"]}
    assert sample.expect.fact_keys <= found
    assert bool(found) is not sample.expect.no_facts
    assert not any(text in answer.content for text in sample.expect.absent)


@pytest.mark.parametrize("sample", ANSWERED, ids=lambda sample: sample.sample_id)
def test_what_a_sample_expects_to_be_cut_and_redacted_is(sample: Sample) -> None:
    bundle = bundle_of(sample)
    assert {cut.evidence_id for cut in bundle.cuts} == sample.expect.cut_items
    assert {redaction.evidence_id for redaction in bundle.redactions} == sample.expect.redacted_items


def test_one_sample_shows_a_fact_of_each_verdict() -> None:
    sample = SAMPLES["facts-of-each-verdict"]
    bundle = bundle_of(sample)
    facts = definition_of(sample).validate(ask(sample, bundle).content, bundle).facts
    assert [(fact.fact_key, fact.verdict.value) for fact in facts] == [
        ("eye_colour", "SUPPORTED"),
        ("birth", "REFUTED"),
        ("employer", "NOT_ENOUGH_INFO"),
    ]


def test_sources_that_disagree_are_both_reported_with_little_confidence() -> None:
    sample = SAMPLES["disagreement"]
    facts = json.loads(ask(sample, bundle_of(sample)).content)["facts"]
    lengths = {fact["value"]: fact["evidence_ids"] for fact in facts if fact["fact_key"] == "length"}
    assert lengths == {"152 metres long": ["dock-survey"], "140 metres long": ["yard-record"]}
    confidence = {fact["fact_key"]: fact["confidence"] for fact in facts}
    assert confidence["length"] < 60
    assert confidence["manufacturer"] < 60
    assert confidence["crew"] >= 90


def test_the_secrets_do_not_reach_the_model() -> None:
    sample = SAMPLES["secrets"]
    bundle = bundle_of(sample)
    prompt = definition_of(sample).render(input=json.loads(sample.job.input_json), bundle=bundle)
    assert not any(text in prompt for text in sample.expect.absent)
    assert {redaction.pattern for redaction in bundle.redactions} >= {"email"}


def test_the_sample_without_evidence_is_never_asked() -> None:
    with pytest.raises(EvidenceMissing):
        bundle_of(SAMPLES["no-evidence"])


@pytest.mark.parametrize("sample_id", ["unknown-interrogation", "invalid-input"])
def test_the_straight_samples_fail_their_check(sample_id: str) -> None:
    sample = SAMPLES[sample_id]
    with pytest.raises(RunError) as refused:
        REGISTRY.check(sample.job)
    assert refused.value.kind is sample.expect.error_kind
