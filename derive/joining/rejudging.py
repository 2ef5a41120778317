"""Judges the answers of a job's parts against their windows, and joins them into one answer."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from derive.contracts import JudgedFact
from derive.errors import InternalError
from derive.evidence.contracts import EvidenceBundle, EvidenceItem
from derive.facts.judging import judge_cited, value_key_of
from derive.interrogations.answer_schema import AnswerSchema
from derive.interrogations.definition import Definition
from derive.interrogations.grounding import Path, cited_facts
from derive.interrogations.report import path_of
from derive.joining.document import PartRecord, PartsDocument
from derive.joining.merging import FactPlace, FoundFact, merge
from derive.proofs import FieldProof
from derive.windows.part_evidence import WHOLE

_PATH_OF_ELEMENT = 2
"""Parts of the path of a fact that is itself an element of the answer's list."""

_UNDECLARED = FieldProof()


@dataclass(frozen=True)
class JoinedAnswer:
    """One answer made of those of parts, and its facts with their places in the whole evidence.

    ``places`` has all places of each fact by its index; the first is the fact's own. ``found`` is the number of facts
    before repetitions were merged.
    """

    answer: dict[str, Any]
    facts: tuple[JudgedFact, ...]
    places: Mapping[int, tuple[FactPlace, ...]]
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
    judge = _PartJudge(whole, definition, entity)
    found = [
        fact for part in document.parts if part.part_no in answers for fact in judge.found(part, answers[part.part_no])
    ]
    merged = merge(found)
    answer = {name: [one.element for one in merged]}
    faults = AnswerSchema(_without_limit(definition.output_schema, name)).find_faults(answer)
    if faults:
        raise InternalError(f"the joined answer does not match the schema: {faults[0].path} {faults[0].problem}")
    facts, places = _numbered(merged, name)
    return JoinedAnswer(answer, facts, places, len(found))


def _name_of_list(definition: Definition) -> str:
    names = list(definition.output_schema.get("properties", {}))
    if len(names) != 1:
        raise InternalError(f"{definition}: the answers of parts cannot be joined: they are not one list of facts")
    return str(names[0])


class _PartJudge:
    """Judges the answers of parts, each against the windows it was asked about."""

    def __init__(self, whole: EvidenceBundle, definition: Definition, entity: str) -> None:
        self._texts = {item.evidence_id: item.text for item in whole.items}
        self._numbers = {item.evidence_id: number for number, item in enumerate(whole.items)}
        self._rules = definition.fact_rules
        self._entity = entity

    def found(self, part: PartRecord, answer: Any) -> Iterator[FoundFact]:
        """Yield the facts of one part's answer."""
        starts = {window.evidence_id: window.start for window in part.windows}
        found = list(cited_facts(answer))
        judged = judge_cited(found, self._windows_of(part), self._rules, entity=self._entity).facts
        outer: FoundFact | None = None
        for (path, cited), fact in zip(found, judged, strict=True):
            place = self._place_of(fact, starts)
            if outer is not None and len(path) > _PATH_OF_ELEMENT:
                outer.inner = [*outer.inner, (path[_PATH_OF_ELEMENT:], _at(fact, place))]
                continue
            if outer is not None:
                yield outer
            outer = FoundFact(
                part_no=part.part_no,
                element=cited,
                fact=fact,
                identity=fact.value_key or value_key_of(cited, path, self._rules) or f"quote {fact.quote}",
                place=place,
                proof=self._proof(cited, path),
            )
        if outer is not None:
            yield outer

    def _proof(self, cited: Mapping[str, Any], path: Path) -> FieldProof:
        members = self._rules.judged_members(cited, path)
        return next(iter(members.values())) if len(members) == 1 else _UNDECLARED

    def _windows_of(self, part: PartRecord) -> EvidenceBundle:
        """Return the texts a part was asked about, for looking up quotes; neither hashed nor rendered again."""
        items = tuple(
            EvidenceItem.model_construct(
                evidence_id=window.evidence_id,
                source_uri=None,
                text=window.text_in(self._texts[window.evidence_id]),
                sha256="",
            )
            for window in part.windows
        )
        return EvidenceBundle.model_construct(items=items, bounds=WHOLE, delimiter="", sha256="")

    def _place_of(self, fact: JudgedFact, starts: Mapping[str, int]) -> FactPlace | None:
        if fact.evidence_id is None or fact.quote_start is None or fact.quote_end is None:
            return None
        start = starts[fact.evidence_id]
        return FactPlace(self._numbers[fact.evidence_id], start + fact.quote_start, start + fact.quote_end)


def _at(fact: JudgedFact, place: FactPlace | None, **changes: object) -> JudgedFact:
    """Return the fact with its place in the whole text, and other changes."""
    if place is not None:
        changes |= {"quote_start": place.start, "quote_end": place.end}
    return fact.model_copy(update=changes)


def _numbered(merged: list[FoundFact], name: str) -> tuple[tuple[JudgedFact, ...], dict[int, tuple[FactPlace, ...]]]:
    facts: list[JudgedFact] = []
    places: dict[int, tuple[FactPlace, ...]] = {}
    for number, one in enumerate(merged):
        index = len(facts)
        places[index] = tuple(one.places)
        occurrences = max(one.fact.occurrences, len(one.places))
        facts.append(_at(one.fact, one.place, fact_index=index, path=path_of((name, number)), occurrences=occurrences))
        for rest, inner in one.inner:
            path = path_of((name, number, *rest))
            facts.append(inner.model_copy(update={"fact_index": len(facts), "path": path}))
    return tuple(facts), places


def _without_limit(schema: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the schema with a list of any length: its limit is that of one answer."""
    properties = dict(schema["properties"])
    properties[name] = {rule: value for rule, value in properties[name].items() if rule != "maxItems"}
    return {**schema, "properties": properties}
