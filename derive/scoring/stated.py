"""What an answer states: the key and value of each cited object, without looking at the evidence."""

from dataclasses import dataclass
from typing import Any

from derive.facts.rules import FactRules, key_of_fact
from derive.interrogations.grounding import cited_facts
from derive.interrogations.report import path_of
from derive.proofs import FieldProof
from derive.proofs.judgement import Context


@dataclass(frozen=True, slots=True)
class StatedFact:
    """A key and its value: a scalar, or an object of several members. ``context`` has the field's unit and choices.

    ``path`` locates it in the answer; empty for an expected fact.
    """

    key: str
    value: Any
    context: Context = Context()  # noqa: RUF009 (frozen)
    path: str = ""


def statements_of(answer: Any, rules: FactRules) -> tuple[StatedFact, ...]:
    """Return what an answer states, in its order; an object whose value is null states nothing."""
    found = []
    for path, cited in cited_facts(answer):
        members = rules.judged_members(cited, path)
        key = key_of_fact(cited, members) or ""
        values = {name: cited[name] for name in members} or ({"value": cited["value"]} if "value" in cited else {})
        value: Any = next(iter(values.values())) if len(values) == 1 else values
        if value is None or value == {}:
            continue
        proof = next(iter(members.values())) if len(members) == 1 else FieldProof()
        found.append(StatedFact(key, value, proof.context(key=key), path_of(path)))
    return tuple(found)
