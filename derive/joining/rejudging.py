"""Judges the answers of a job's parts against their windows, and joins them into one answer."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from derive.contracts import JudgedFact
from derive.errors import InternalError
from derive.evidence.contracts import EvidenceBundle, EvidenceItem
from derive.facts.judging import judge_facts, value_key_of
from derive.interrogations.answer_schema import AnswerSchema
from derive.interrogations.definition import Definition
from derive.interrogations.grounding import cited_facts
from derive.interrogations.report import path_of
from derive.joining.document import PartRecord, PartsDocument
from derive.joining.merging import FoundFact, Place, merge


@dataclass(frozen=True)
class JoinedAnswer:
    """One answer made of those of parts, and its facts with their places in the whole evidence.

    ``places`` has all places of each fact by its index; the first is the fact's own. ``found`` is the number of facts
    before repetitions were merged.
    """

    answer: dict[str, Any]
    facts: tuple[JudgedFact, ...]
    places: Mapping[int, tuple[Place, ...]]
    found: int

    def report(self, document: PartsDocument) -> dict[str, Any]:
        """Return the content of ``validation.json``: like that of any run, with places and the parts not read."""
        return {
            "valid": True,
            "error_kind": None,
            "error": None,
            "checks": [{"name": "joined", "result": "passed", "details": []}],
            "parts": len(document.parts),
            "unread_parts": [part.part_no for part in document.unread],
            "found_facts": self.found,
            "verdicts": Counter(fact.verdict.value for fact in self.facts),
            "facts": [
                {
                    "path": fact.path,
                    "verdict": fact.verdict.value,
                    "proof": fact.proof,
                    "why": fact.why,
                    "places": [[place.start, place.end] for place in self.places.get(fact.fact_index, ())],
                }
                for fact in self.facts
            ],
        }


def join_parts_of(
    document: PartsDocument,
    answers: Mapping[int, Any],
    whole: EvidenceBundle,
    definition: Definition,
    *,
    entity: str = "",
) -> JoinedAnswer:
    """Join the parsed answers of parts by part number; parts without one are left out.

    The answer is the definition's only list, with the facts of all parts; the list may be longer than the schema
    allows one answer. Raises InternalError if an answer does not match the schema.
    """
    name = _name_of_list(definition)
    found: list[FoundFact] = []
    for part in document.parts:
        if part.part_no in answers:
            found.extend(_found_in(part, answers[part.part_no], whole, definition, entity))
    merged = merge(found)
    answer = {name: [dict(one.element) for one in merged]}
    schema = AnswerSchema(_without_limit(definition.output_schema, name))
    faults = schema.find_faults(answer)
    if faults:
        raise InternalError(f"the joined answer does not match the schema: {faults[0].path} {faults[0].problem}")
    facts, places = _numbered(merged, name)
    return JoinedAnswer(answer, facts, places, len(found))


def _name_of_list(definition: Definition) -> str:
    names = list(definition.output_schema.get("properties", {}))
    if len(names) != 1:
        raise InternalError(f"{definition}: the answers of parts cannot be joined: they are not one list of facts")
    return str(names[0])


def _found_in(
    part: PartRecord, answer: Any, whole: EvidenceBundle, definition: Definition, entity: str
) -> Iterator[FoundFact]:
    starts = {window.evidence_id: window.start for window in part.windows}
    numbers = {item.evidence_id: number for number, item in enumerate(whole.items)}
    rules = definition.fact_rules
    judged = judge_facts(answer, _windows_of(part, whole), rules, entity=entity).facts
    outer: FoundFact | None = None
    for (path, cited), local in zip(cited_facts(answer), judged, strict=True):
        fact = _in_whole(local, starts)
        if outer is not None and len(path) > 2:
            outer.inner = [*outer.inner, (path[2:], fact)]
            continue
        if outer is not None:
            yield outer
        place = _place_of(fact, numbers)
        members = rules.judged_members(cited, path)
        key = fact.fact_key or ""
        context = next(iter(members.values())).context(key=key) if len(members) == 1 else None
        outer = FoundFact(
            part_no=part.part_no,
            element=cited,
            fact=fact,
            identity=fact.value_key or value_key_of(cited, path, rules) or f"quote {fact.quote}",
            place=place,
            **({"context": context} if context is not None else {}),
        )
    if outer is not None:
        yield outer


def _windows_of(part: PartRecord, whole: EvidenceBundle) -> EvidenceBundle:
    """Return the texts a part was asked about, for looking up quotes; neither hashed nor rendered again."""
    texts = {item.evidence_id: item.text for item in whole.items}
    items = tuple(
        EvidenceItem.model_construct(
            evidence_id=window.evidence_id, source_uri=None, text=window.text_in(texts[window.evidence_id]), sha256=""
        )
        for window in part.windows
    )
    return EvidenceBundle.model_construct(items=items)


def _in_whole(fact: JudgedFact, starts: Mapping[str, int]) -> JudgedFact:
    if fact.evidence_id is None or fact.quote_start is None or fact.quote_end is None:
        return fact
    start = starts[fact.evidence_id]
    return fact.model_copy(update={"quote_start": fact.quote_start + start, "quote_end": fact.quote_end + start})


def _place_of(fact: JudgedFact, numbers: Mapping[str, int]) -> Place | None:
    if fact.evidence_id is None or fact.quote_start is None or fact.quote_end is None:
        return None
    return Place(numbers[fact.evidence_id], fact.quote_start, fact.quote_end)


def _numbered(merged: list[FoundFact], name: str) -> tuple[tuple[JudgedFact, ...], dict[int, tuple[Place, ...]]]:
    facts: list[JudgedFact] = []
    places: dict[int, tuple[Place, ...]] = {}
    for number, one in enumerate(merged):
        places[len(facts)] = tuple(one.places)
        update = {"fact_index": len(facts), "path": path_of((name, number))}
        update |= {"occurrences": max(one.fact.occurrences, len(one.places))}
        facts.append(one.fact.model_copy(update=update))
        for rest, inner in one.inner:
            path = path_of((name, number, *rest))
            facts.append(inner.model_copy(update={"fact_index": len(facts), "path": path}))
    return tuple(facts), places


def _without_limit(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the schema with a list of any length: its limit is that of one answer."""
    properties = dict(schema["properties"])
    properties[name] = {rule: value for rule, value in properties[name].items() if rule != "maxItems"}
    return {**schema, "properties": properties}
