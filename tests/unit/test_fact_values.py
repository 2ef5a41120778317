"""How a fact's value is written."""

from derive.facts.judging import judge_facts
from derive.facts.rules import FactRules
from tests.unit.evidence_samples import bundle_of, fact


def test_letters_stand_as_they_are_in_a_value_of_several_parts() -> None:
    (one,) = judge_facts([fact("Luke", "a") | {"value": ["é", "🚀"]}], bundle_of(a="Luke"), FactRules({})).facts
    assert one.value == '["é","🚀"]'
