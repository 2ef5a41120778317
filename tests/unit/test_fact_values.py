"""How a fact's value and confidence are written."""

from derive.facts.judging import judge_facts
from derive.facts.rules import FactRules
from tests.unit.evidence_samples import bundle_of, fact


def test_a_confidence_has_two_decimals() -> None:
    cited = fact("Luke", "a") | {"confidence": 33.336}
    (one,) = judge_facts([cited], bundle_of(a="Luke"), FactRules({})).facts
    assert one.confidence == 33.34


def test_a_value_of_several_members_is_not_escaped() -> None:
    (one,) = judge_facts([fact("Luke", "a") | {"value": ["é", "🚀"]}], bundle_of(a="Luke"), FactRules({})).facts
    assert one.value == '["é","🚀"]'
