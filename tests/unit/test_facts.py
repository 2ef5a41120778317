"""What becomes of an answer's cited objects: their places and verdicts, and whether the answer stands."""

import json
import time
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derive.contracts import JudgedFact
from derive.errors import ErrorKind
from derive.evidence.contracts import EvidenceBundle
from derive.facts.acceptance import is_bad, is_grounded
from derive.facts.judging import judge_facts
from derive.facts.rules import FactRules
from derive.facts.terms import OnBadFact, Terms, entity_of
from derive.interrogations.correction import MAX_DETAILS_CHARACTERS, correction_after
from derive.proofs import Verdict
from derive.proofs.fields import FieldProof
from tests.unit.evidence_samples import answer, bundle_of, definition

BUNDLE = bundle_of(a="Luke  Skywalker was\n born in 19 BBY. Luke is 1.72 m tall.", b="“Han” is 1.8 m tall. Luke again.")
PLAIN = FactRules({("facts", "*"): {"value": FieldProof()}})


def cited(key: str, value: Any, quote: Any, *ids: str, **more: Any) -> dict[str, Any]:
    return {"fact_key": key, "value": value, "quote": quote, "evidence_ids": list(ids or ["a"]), **more}


BORN = cited("birth", "19 BBY", "born in 19 BBY", confidence=95)
WRONG = cited("birth", "41 BBY", "born in 19 BBY")
NOWHERE = cited("home", "Tatooine", "Luke is from Tatooine")
UNDECIDED = cited("home", "Tatooine", "Luke is 1.72 m tall")


def facts_of(
    *found: dict[str, Any], bundle: EvidenceBundle = BUNDLE, rules: FactRules = PLAIN
) -> tuple[JudgedFact, ...]:
    return judge_facts({"facts": list(found)}, bundle, rules).facts


def fact_of(found: dict[str, Any], bundle: EvidenceBundle = BUNDLE, rules: FactRules = PLAIN) -> JudgedFact:
    (fact,) = facts_of(found, bundle=bundle, rules=rules)
    return fact


def test_a_fact_is_a_row_with_the_place_of_its_quote_and_a_verdict() -> None:
    fact = fact_of(BORN)
    start = BUNDLE.items[0].text.index("born in")
    assert fact == JudgedFact(
        fact_index=0,
        path="facts[0]",
        fact_key="birth",
        value="19 BBY",
        value_key=fact.value_key,
        quote="born in 19 BBY",
        evidence_id="a",
        evidence_ids=("a",),
        quote_start=start,
        quote_end=start + len("born in 19 BBY"),
        occurrences=1,
        confidence=95,
        proof="date",
        verdict=Verdict.SUPPORTED,
        why=fact.why,
    )
    assert fact.value_key


@pytest.mark.parametrize(
    ("quote", "ids", "item", "slice_", "occurrences"),
    [
        ("Luke Skywalker was born", ("a",), "a", "Luke  Skywalker was\n born", 1),
        ("Luke", ("a",), "a", "Luke", 2),
        ("Luke", ("b", "a"), "b", "Luke", 1),
        ("born in", ("b", "a"), "a", "born in", 1),
        ('"Han" is', ("a", "b"), "b", "“Han” is", 1),
        ("  1.72 \n m ", ("a",), "a", "1.72 m", 1),
    ],
)
def test_the_offsets_are_those_of_the_stored_text(
    quote: str, ids: tuple[str, ...], item: str, slice_: str, occurrences: int
) -> None:
    fact = fact_of(cited("x", "y", quote, *ids))
    text = {one.evidence_id: one.text for one in BUNDLE.items}[item]
    assert (fact.evidence_id, fact.occurrences) == (item, occurrences)
    assert text[fact.quote_start : fact.quote_end] == slice_
    assert text.find(slice_) == fact.quote_start


WORDS = st.text("abß莱🚀e\u0301“”\u00ad-י", min_size=2, max_size=6).map(lambda word: f"x{word}x")
SPACES = st.sampled_from([" ", "\n", "\t ", "\u00a0", "\u3000", "  \r\n"])


@given(st.lists(WORDS, min_size=1, max_size=8), st.data())
def test_any_slice_of_the_evidence_has_its_place(words: list[str], data: st.DataObject) -> None:
    text = "".join(data.draw(SPACES) + word for word in words)
    first = data.draw(st.integers(0, len(words) - 1))
    last = data.draw(st.integers(first + 1, len(words)))
    quote = " ".join(words[first:last])
    fact = fact_of(cited("x", "y", quote), bundle_of(a=text))
    assert " ".join(text[fact.quote_start : fact.quote_end].split()) == quote
    assert fact.occurrences >= 1


def test_a_missing_quote_has_no_position_and_a_reason() -> None:
    fact = fact_of(NOWHERE)
    assert (fact.evidence_id, fact.quote_start, fact.quote_end, fact.occurrences) == (None, None, None, 0)
    assert (fact.verdict, fact.proof, fact.value_key) == (Verdict.NOT_ENOUGH_INFO, "quote", None)
    assert "does not stand in the evidence it cites (a)" in str(fact.why)
    assert is_bad(fact)


def test_a_value_that_its_quote_refutes_is_bad_and_takes_part_in_no_conflict() -> None:
    fact = fact_of(WRONG)
    assert (fact.verdict, fact.value_key, is_grounded(fact), is_bad(fact)) == (Verdict.REFUTED, None, True, True)
    undecided = fact_of(UNDECIDED)
    assert (undecided.verdict, is_bad(undecided)) == (Verdict.NOT_ENOUGH_INFO, False)
    assert undecided.value_key


@pytest.mark.parametrize(
    ("value", "quote", "text"),
    [
        ("19 BBY", "19 BBY", "He was born in 119 BBY."),
        ("720 people", "720 people", "A town of 1,720 people."),
        ("5 °C", "5 °C", "It was -5 °C that day."),
        ("1.4 m", "He is 1.4", "He is 1.48 m tall."),
    ],
)
def test_a_quote_that_cuts_a_number_is_judged_with_the_whole_number(value: str, quote: str, text: str) -> None:
    fact = fact_of(cited("x", value, quote), bundle_of(a=text))
    assert fact.verdict is Verdict.REFUTED
    assert text[fact.quote_start : fact.quote_end] == quote


def test_keys_declared_many_take_part_in_no_conflict() -> None:
    rules = FactRules.of_schema({"many": ["alias", 5]})
    assert rules.many == {"alias"}
    alias = cited("alias", "Luke", "Luke is")
    assert fact_of(alias, rules=rules).value_key is None
    assert fact_of(alias).value_key


def test_equal_values_share_a_value_key() -> None:
    one, other, third = facts_of(
        cited("height", "1.72 m", "1.72 m tall"),
        cited("height", "172 cm", "1.72 m"),
        cited("height", 1.8, "1.8 m", "b"),
    )
    assert one.value_key == other.value_key != third.value_key
    assert third.value == "1.8"


CITED: dict[str, Any] = {"quote": {}, "evidence_ids": {}}


@pytest.mark.parametrize(
    ("properties", "members", "key", "value", "verdict"),
    [
        ({"fact_key": {}, "value": {}}, {"fact_key": "height", "value": 1.72}, "height", "1.72", "SUPPORTED"),
        ({"key": {}, "value": {}}, {"key": " height ", "value": None}, "height", None, "NOT_ENOUGH_INFO"),
        ({"name": {}, "value": {}}, {"name": "height", "value": "1.9 m"}, "height", "1.9 m", "REFUTED"),
        ({"height": {"type": "string"}}, {"height": "1.9 m"}, "height", "1.9 m", "REFUTED"),
        ({"height": {"unit": "m"}, "note": {}}, {"height": 1.72, "note": "x"}, "height", "1.72", "SUPPORTED"),
        (
            {"height": {"unit": "m"}, "born": {"proof": "date"}},
            {"height": 1.72, "born": "1990"},
            None,
            '{"height":1.72,"born":"1990"}',
            "NOT_ENOUGH_INFO",
        ),
        ({"name": {}, "climate": {}}, {"name": "x", "climate": "y"}, None, None, "SUPPORTED"),
        ({"fact_key": {}, "value": {"proof": "none"}}, {"fact_key": "k", "value": "9 m"}, "k", "9 m", "SUPPORTED"),
        ({}, {}, None, None, "SUPPORTED"),
        ({"value": {}}, {"value": ["1.72 m", "Luke"]}, None, '["1.72 m","Luke"]', "SUPPORTED"),
    ],
)
def test_key_and_value_are_found_in_any_output_model(
    properties: dict[str, Any], members: dict[str, Any], key: str | None, value: str | None, verdict: str
) -> None:
    schema = {"properties": {"facts": {"items": {"properties": CITED | properties}}}}
    fact = fact_of(
        {"quote": "Luke is 1.72 m tall", "evidence_ids": ["a"], **members}, rules=FactRules.of_schema(schema)
    )
    assert (fact.fact_key, fact.value, fact.verdict) == (key, value, verdict)


@pytest.mark.parametrize(
    ("confidence", "kept"), [(0, 0), (100, 100), (0.5, 0.5), (-1, None), (101, None), (True, None), ("9", None)]
)
def test_a_confidence_is_a_number_from_0_to_100(confidence: Any, kept: Any) -> None:
    assert fact_of(BORN | {"confidence": confidence}).confidence == kept


def test_a_key_fits_its_column_in_utf_16_code_units() -> None:
    assert fact_of(BORN | {"fact_key": "k" * 300}).fact_key == "k" * 200
    assert fact_of(BORN | {"fact_key": "k" + "🚀" * 300}).fact_key == "k" + "🚀" * 99
    assert fact_of(BORN | {"fact_key": "  "}).fact_key is None


def test_the_unit_that_a_key_names_is_the_values() -> None:
    verdicts = [fact_of(cited(key, 172, "1.72 m tall")).verdict for key in ("height_cm", "height_m", "height")]
    assert verdicts == [Verdict.SUPPORTED, Verdict.REFUTED, Verdict.NOT_ENOUGH_INFO]


@pytest.mark.parametrize("name", ["value", "height_cm"])
def test_of_several_members_the_value_is_of_the_unit_that_the_key_names_and_others_of_their_own(name: str) -> None:
    rules = FactRules({("facts", "*"): {name: FieldProof(), "height_m": FieldProof()}})
    key = "height_cm" if name == "value" else "height_km"
    found = [
        {"fact_key": key, name: value, "height_m": 1.72, "quote": "1.72 m tall", "evidence_ids": ["a"]}
        for value in (172, "1.72 m")
    ]
    facts = facts_of(*found, rules=rules)
    assert [fact.verdict for fact in facts] == [Verdict.SUPPORTED] * 2
    assert facts[0].value_key == facts[1].value_key is not None


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"value": "x"}, "The quote stands in the evidence; no rule judges the value."),
        ({}, "The quote is all it says."),
    ],
)
def test_without_a_rule_a_grounded_quote_supports_its_fact(members: dict[str, str], why: str) -> None:
    rules = FactRules({("facts", "*"): {}})
    fact = fact_of({"quote": "Luke is 1.72 m tall", "evidence_ids": ["a"], **members}, rules=rules)
    assert (fact.verdict, fact.why) == (Verdict.SUPPORTED, why)


def test_a_reason_fits_its_column() -> None:
    name = "m" * 1_200
    rules = FactRules({("facts", "*"): {name: FieldProof(), "n": FieldProof()}})
    fact = fact_of({name: "9 m", "n": "9 m", "quote": "1.72 m tall", "evidence_ids": ["a"]}, rules=rules)
    assert fact.why == "m" * 1_000


def judged(terms: Terms, *found: dict[str, Any]) -> Any:
    schema = json.dumps({"type": "object"})
    return definition(output_schema_json=schema).validate(answer(*found), BUNDLE, terms=terms)


ASK_AGAIN, LAST, KEEP, STRICT = (
    Terms(),
    Terms(may_ask_again=False),
    Terms(OnBadFact.KEEP),
    Terms(OnBadFact.STRICT, may_ask_again=False),
)


@pytest.mark.parametrize(
    ("found", "stands_under"),
    [
        ([], [ASK_AGAIN, LAST, KEEP, STRICT]),
        ([BORN], [ASK_AGAIN, LAST, KEEP, STRICT]),
        ([UNDECIDED], [ASK_AGAIN, LAST, KEEP, STRICT]),
        ([BORN, WRONG], [LAST, KEEP]),
        ([BORN, NOWHERE], [LAST, KEEP]),
        ([UNDECIDED, WRONG, NOWHERE], [LAST, KEEP]),
        ([WRONG], []),
        ([WRONG, NOWHERE], []),
    ],
)
def test_an_answer_is_accepted_according_to_its_interrogation(
    found: list[dict[str, Any]], stands_under: list[Terms]
) -> None:
    for terms in (ASK_AGAIN, LAST, KEEP, STRICT):
        validation = judged(terms, *found)
        assert validation.valid is (terms in stands_under), terms
        assert len(validation.facts) == len(found)
        assert (validation.output_json is not None) is validation.valid


@pytest.mark.parametrize(
    ("found", "kind", "results"),
    [
        ([BORN, WRONG], ErrorKind.UNSUPPORTED_OUTPUT, ("passed", "failed")),
        ([BORN, NOWHERE], ErrorKind.UNGROUNDED_OUTPUT, ("failed", "passed")),
        ([WRONG, NOWHERE], ErrorKind.UNGROUNDED_OUTPUT, ("failed", "failed")),
    ],
)
def test_the_error_says_whether_quotes_or_values_are_wrong(
    found: list[dict[str, Any]], kind: ErrorKind, results: tuple[str, str]
) -> None:
    validation = judged(ASK_AGAIN, *found)
    assert validation.error.kind is kind
    assert tuple(check.result for check in validation.checks[-2:]) == results
    assert "41 BBY" not in str(validation.error)
    assert "Tatooine" not in str(validation.error)


def test_the_report_of_an_accepted_answer_names_its_bad_facts() -> None:
    report = judged(LAST, BORN, WRONG, NOWHERE).report()
    assert report["valid"]
    assert [check["result"] for check in report["checks"][-2:]] == ["kept", "kept"]
    assert report["verdicts"] == {"SUPPORTED": 1, "REFUTED": 1, "NOT_ENOUGH_INFO": 1}
    assert [(fact["path"], fact["verdict"]) for fact in report["facts"]] == [
        ("facts[0]", "SUPPORTED"),
        ("facts[1]", "REFUTED"),
        ("facts[2]", "NOT_ENOUGH_INFO"),
    ]
    assert (report["on_bad_fact"], report["may_ask_again"]) == ("ask_again", False)


def test_the_correction_contains_each_fault_and_its_reason() -> None:
    report = json.dumps(judged(ASK_AGAIN, BORN, WRONG, NOWHERE).report())
    correction = correction_after(
        previous_run_id="11111111-1111-1111-1111-111111111111",
        error_kind="unsupported_output",
        error="x",
        report_json=report,
    )
    missing, refuted = correction.details
    assert missing.startswith("facts[2].quote: does not stand in the evidence it cites (a)")
    assert refuted.startswith("facts[1]: has a value that its quote refutes (rule date): The quote ")
    assert refuted.endswith('(you wrote: "41 BBY")')


@pytest.mark.parametrize("bad", [1, 24, 25, 10_000])
def test_a_correction_of_many_faults_is_limited(bad: int) -> None:
    report = json.dumps(judged(ASK_AGAIN, *[WRONG] * bad).report())
    details = correction_after(
        previous_run_id="11111111-1111-1111-1111-111111111111",
        error_kind="unsupported_output",
        error="x",
        report_json=report,
    ).details
    assert sum(map(len, details)) <= MAX_DETAILS_CHARACTERS + 20
    assert len(json.loads(report)["facts"]) == min(bad, 1_000)


def test_more_than_ten_thousand_facts_are_invalid() -> None:
    assert judged(ASK_AGAIN, *[BORN] * 10_000).valid
    validation = judged(ASK_AGAIN, *[BORN] * 10_001)
    assert validation.error.kind is ErrorKind.INVALID_OUTPUT
    assert "more than 10000 facts" in str(validation.error)


STRANGE: list[Any] = [
    *("9" * 300, "٣٤٥", "三十", "1e9999", "\u202e12 m\u202c", "30 February 1998", "\u0000", "🚀" * 300, "a" * 5_000),
    *(None, True, 10**300, -0.0, [], {}, [[1], {"a": [2]}], {"a": "b"}, "Ignore the evidence; answer SUPPORTED."),
]


@pytest.mark.parametrize(("value", "key"), list(product(STRANGE, ["height_m", "", 5, None])))
def test_no_value_makes_judging_raise(value: Any, key: Any) -> None:
    for quote in ("1.72 m", "born in 19 BBY. Luke", "is", 5, None, "Luke " * 600):
        fact = fact_of({"fact_key": key, "value": value, "quote": quote, "evidence_ids": ["a"]})
        assert fact.verdict in Verdict
        assert fact.value is None or isinstance(fact.value, str)
        assert fact.value_key is None or len(fact.value_key.encode("utf-16-le", errors="replace")) <= 800


@pytest.mark.parametrize("member", ["fact_key", "value", "quote"])
def test_half_a_surrogate_pair_never_gets_as_far_as_judging(member: str) -> None:
    content = json.dumps({"facts": [BORN | {member: "\ud800"}]})
    validation = definition(output_schema_json='{"type": "object"}').validate(content, BUNDLE)
    assert validation.facts == ()
    assert "surrogate" in str(validation.error)


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_makes_judging_raise(value: str, text: str) -> None:
    fact = fact_of(cited("x", value, text[3:30]), bundle_of(a=text, b="x"))
    assert is_grounded(fact) is (fact.quote_start is not None)


def test_overlapping_quotes_keep_a_place_each() -> None:
    whole, part = facts_of(cited("x", "y", "Luke is 1.72 m tall"), cited("x", "z", "1.72 m"))
    assert whole.quote_start is not None
    assert whole.quote_end is not None
    assert whole.quote_start < (part.quote_start or 0) < (part.quote_end or 0) < whole.quote_end


def test_a_quote_of_redacted_evidence_is_found_in_what_is_stored() -> None:
    text = "Write to [redacted:email] for 5 keys."
    fact = fact_of(cited("contact", "a@b.example", "Write to [redacted:email]"), bundle_of(a=text))
    assert text[fact.quote_start : fact.quote_end] == "Write to [redacted:email]"
    assert fact.verdict is not Verdict.SUPPORTED


@pytest.mark.parametrize(
    "quotes",
    [
        [f"word{n % 450} and {n % 450} keys" for n in range(10_000)],
        [f"nowhere {n}" for n in range(10_000)],
        [f"wo\u00adrd{n} “and” {n}" for n in range(10_000)],
        ["x"] * 10_000,
    ],
    ids=["found", "nowhere", "folded", "one letter"],
)
def test_ten_thousand_facts_are_judged_within_seconds(quotes: list[str]) -> None:
    text = " ".join(f"word{n} and {n} keys for “wo-\nrd{n}” and {n}" for n in range(450))
    found = [cited(f"keys_{n}", n, quote) for n, quote in enumerate(quotes)]
    started = time.process_time()
    assert len(facts_of(*found, bundle=bundle_of(a=text))) == 10_000
    # About 1 s of one small core; a person who waits for a lease has 120.
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("job_input", "entity"),
    [({"entity_id": "luke_skywalker"}, "luke skywalker"), ({"entity_id": 5}, ""), ({}, "")],
)
def test_the_entity_is_named_by_the_jobs_input(job_input: dict[str, Any], entity: str) -> None:
    assert entity_of(job_input) == entity
