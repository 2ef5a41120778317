"""Facts beside the words that prove them: where each quote stands in the items it cites.

Compared as ``derive.interrogations.grounding`` compares them, with typography folded. Offsets are found here, on the
server; the page only shows and hides marks.
"""

from dataclasses import dataclass
from typing import Any

from derive.admin.display.untrusted_text import cell
from derive.evidence.folding import fold
from derive.fact_report.marking import ProofPlace, Segment, mark_text
from derive.interrogations.grounding import cited_facts

MAX_FACTS = 200
MAX_ITEMS = 100


@dataclass(frozen=True)
class HighlightedFact:
    """One cited fact as the page shows it; ``grounded``: its quote stands in an item it cites."""

    number: int
    text: str
    quote: str
    cites: str
    grounded: bool


@dataclass(frozen=True)
class Item:
    """An item of evidence, in segments."""

    evidence_id: str
    source: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class HighlightedAnswer:
    """An answer beside its evidence."""

    facts: tuple[HighlightedFact, ...]
    items: tuple[Item, ...]


def compare(answer: Any, bundle: Any) -> HighlightedAnswer:
    """Find every cited fact of an answer in the items of a bundle, both as parsed from JSON, whatever they hold."""
    items = bundle.get("items") if isinstance(bundle, dict) else None
    texts = {
        str(item.get("evidence_id")): item
        for item in (items if isinstance(items, list) else [])[:MAX_ITEMS]
        if isinstance(item, dict) and isinstance(item.get("text"), str)
    }
    folded = {name: fold(item["text"]) for name, item in texts.items()}
    places: dict[str, list[ProofPlace]] = {name: [] for name in texts}
    facts = []
    for number, (_path, fact) in enumerate(cited_facts(answer)):
        if number == MAX_FACTS:
            break
        ids, quote = fact["evidence_ids"], fact["quote"]
        cited = [name for name in ids if isinstance(name, str)] if isinstance(ids, list) else []
        found = False
        for name in dict.fromkeys(cited):
            span = folded[name].find(quote) if name in folded and isinstance(quote, str) else None
            if span is not None:
                found = True
                places[name].append(ProofPlace(number, *span))
        facts.append(
            HighlightedFact(
                number=number,
                text=_told(fact),
                quote=cell(str(quote), 500),
                cites=cell(", ".join(cited), 200),
                grounded=found,
            )
        )
    shown = tuple(
        Item(
            evidence_id=cell(name, 100),
            source=cell(str(item.get("source_uri") or ""), 200),
            segments=mark_text(item["text"], places[name]),
        )
        for name, item in texts.items()
    )
    return HighlightedAnswer(facts=tuple(facts), items=shown)


def _told(fact: dict[str, Any]) -> str:
    parts = [f"{name}: {value}" for name, value in fact.items() if name not in {"evidence_ids", "quote"}]
    return cell(" · ".join(parts), 500)
