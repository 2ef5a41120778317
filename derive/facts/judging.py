"""Extracts the facts of an answer: locates each quote and judges whether it supports the value."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from derive.contracts import JudgedFact
from derive.evidence.contracts import EvidenceBundle
from derive.facts.rules import FactRules, key_of_fact
from derive.facts.whole_words import widened
from derive.interrogations.grounding import Grounds, Path, QuotePlace, cited_facts
from derive.interrogations.report import Detail, path_of
from derive.proofs import FieldProof, Judgement, Verdict, judge, value_key
from derive.proofs.judgement import worst

BY_QUOTE = "quote"
"""The ``proof`` of a fact judged by its quote only: it is not in the evidence, or there is no value to judge."""
MAX_PROBLEMS = 24
"""Quotes missing from the evidence that are reported per answer."""
MAX_KEY_UNITS = 200
"""UTF-16 code units of a key that the database stores."""
_MAX_WHY_CHARACTERS = 1_000
_MOST_CONFIDENT = 100


class Judged(NamedTuple):
    """An answer's facts, at most ``MAX_PROBLEMS`` faulty quotes, and the paths of quotes found only when folded."""

    facts: tuple[JudgedFact, ...]
    problems: tuple[Detail, ...]
    folded_quotes: tuple[str, ...]


def judge_facts(answer: Any, bundle: EvidenceBundle, rules: FactRules, *, entity: str = "") -> Judged:
    """Locate each cited object's quote in the evidence, and judge whether it supports the value.

    ``entity`` is the name of the facts' subject. Never raises, whatever the texts contain.
    """
    return judge_cited(cited_facts(answer), bundle, rules, entity=entity)


def judge_cited(
    found: Iterable[tuple[Path, dict[str, Any]]], bundle: EvidenceBundle, rules: FactRules, *, entity: str = ""
) -> Judged:
    """Judge cited objects that ``cited_facts`` found in an answer, as ``judge_facts`` does."""
    judge_one = _FactJudge(Grounds(bundle), rules, entity)
    facts: list[JudgedFact] = []
    problems: list[Detail] = []
    folded: list[str] = []
    for index, (path, cited) in enumerate(found):
        place = judge_one.grounds.place_of(cited, path)
        if isinstance(place, Detail):
            problems.append(place)
        elif place.is_folded:
            folded.append(path_of((*path, "quote")))
        facts.append(judge_one.fact(index, path, cited, place))
    return Judged(tuple(facts), tuple(problems[:MAX_PROBLEMS]), tuple(folded))


def value_key_of(cited: Mapping[str, Any], path: Path, rules: FactRules) -> str | None:
    """Return the canonical form of a cited object's value, whatever its verdict and key; None if it has no value."""
    members = rules.judged_members(cited, path)
    return _value_key(_values(cited, members), members, key_of_fact(cited, members) or "")


def _values(cited: Mapping[str, Any], members: Mapping[str, FieldProof]) -> dict[str, Any]:
    return {name: cited[name] for name in members} or ({"value": cited["value"]} if "value" in cited else {})


class _FactJudge:
    """Turns a cited object into a fact once its quote has been looked up."""

    def __init__(self, grounds: Grounds, rules: FactRules, entity: str) -> None:
        self.grounds = grounds
        self._rules = rules
        self._entity = entity

    def fact(self, index: int, path: Path, cited: Mapping[str, Any], place: QuotePlace | Detail) -> JudgedFact:
        members = self._rules.judged_members(cited, path)
        key = key_of_fact(cited, members)
        values = _values(cited, members)
        found = place if isinstance(place, QuotePlace) else None
        judgement = self._judgement(values, members, key or "", cited["quote"], place)
        is_compared = found is not None and key not in self._rules.many and judgement.verdict is not Verdict.REFUTED
        return JudgedFact(
            fact_index=index,
            path=path_of(path),
            fact_key=None if key is None else _shortened(key, MAX_KEY_UNITS),
            value=_value_text(values),
            value_key=_value_key(values, members, key) if key is not None and is_compared else None,
            quote=_value_text({"quote": cited["quote"]}),
            evidence_id=found.evidence_id if found else None,
            evidence_ids=_ids(cited["evidence_ids"]),
            quote_start=found.start if found else None,
            quote_end=found.end if found else None,
            occurrences=found.occurrences if found else 0,
            confidence=_confidence(cited.get("confidence")),
            proof=judgement.proof,
            verdict=judgement.verdict,
            why=judgement.why[:_MAX_WHY_CHARACTERS],
        )

    def _judgement(
        self,
        values: Mapping[str, Any],
        members: Mapping[str, FieldProof],
        key: str,
        quote: Any,
        place: QuotePlace | Detail,
    ) -> Judgement:
        if isinstance(place, Detail):
            return Judgement(Verdict.NOT_ENOUGH_INFO, f"Its {place.path.rpartition('.')[2]} {place.problem}.", BY_QUOTE)
        whole = widened(quote, self.grounds.text_of(place.evidence_id), place.start, place.end)
        return _judge(values, members, whole, key=key, entity=self._entity)


def _judge(
    values: Mapping[str, Any], members: Mapping[str, FieldProof], quote: str, *, key: str, entity: str
) -> Judgement:
    """Return the worst judgement of the members that state the value."""
    if not members:
        why = "The quote stands in the evidence; no rule judges the value." if values else "The quote is all it says."
        return Judgement(Verdict.SUPPORTED, why, BY_QUOTE)
    if len(members) == 1:
        ((name, proof),) = members.items()
        return judge(values[name], quote, proof.context(key=key or name, entity=entity))
    judged = []
    for name, proof in members.items():
        judgement = judge(values[name], quote, proof.context(key=key if name == "value" else name, entity=entity))
        judged.append(Judgement(judgement.verdict, f"{name}: {judgement.why}", judgement.proof))
    return worst(judged)


def _value_key(values: Mapping[str, Any], members: Mapping[str, FieldProof], key: str) -> str | None:
    """Return the values' canonical form; None if there is nothing to compare."""
    if len(values) == 1:
        ((name, value),) = values.items()
        return None if value is None else value_key(value, members.get(name, FieldProof()).context(key=key))
    if not values:
        return None
    keys = {
        name: value_key(value, members[name].context(key=key if name == "value" else name))
        for name, value in values.items()
    }
    return value_key(json.dumps(keys, ensure_ascii=False, sort_keys=True), FieldProof(proof="identifier").context())


def _value_text(values: Mapping[str, Any]) -> str | None:
    """Return the value as text; several members as a JSON object."""
    value = next(iter(values.values())) if len(values) == 1 else (dict(values) or None)
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _ids(value: Any) -> tuple[str, ...] | None:
    """Return the ids that an object cites, if they are all strings and there are any."""
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        return None
    return tuple(value)


def _confidence(value: Any) -> float | None:
    """Return a confidence from 0 to 100 as its column stores it; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return round(float(value), 2) if 0 <= value <= _MOST_CONFIDENT else None


def _shortened(text: str, max_units: int) -> str:
    """Return a text's longest beginning within a limit of UTF-16 code units, without trailing white space."""
    if 2 * len(text) <= max_units:
        return text
    return text.encode("utf-16-le")[: 2 * max_units].decode("utf-16-le", errors="ignore").rstrip()
