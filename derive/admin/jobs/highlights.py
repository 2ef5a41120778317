"""Citations of an answer without stored facts: of a failed run, or from before the facts table.

Their values are not judged. Quotes are located as ``derive.interrogations.grounding`` does, with typography folded.
"""

import json
from collections.abc import Mapping
from itertools import islice
from typing import Any

from derive.admin.display.untrusted_text import cell
from derive.evidence.folding import Folded, fold
from derive.fact_report.stored import EvidenceText, StoredFact
from derive.interrogations.grounding import cited_facts

MAX_FACTS = 200
_NOT_ITS_VALUE = frozenset({"evidence_ids", "quote", "fact_key", "confidence"})


def unjudged_facts(answer: Any, evidence: Mapping[str, EvidenceText]) -> list[StoredFact]:
    """Return the cited facts of a parsed answer, with the first place of each quote in its evidence."""
    folded = {name: fold(item.text) for name, item in evidence.items()}
    cited = islice(cited_facts(answer), MAX_FACTS)
    return [_unjudged(number, fact, folded) for number, (_path, fact) in enumerate(cited)]


def _unjudged(number: int, fact: dict[str, Any], folded: Mapping[str, Folded]) -> StoredFact:
    ids, quote = fact["evidence_ids"], fact["quote"]
    cites = tuple(dict.fromkeys(name for name in ids if isinstance(name, str))) if isinstance(ids, list) else ()
    places = ((name, folded[name].find(quote)) for name in cites if name in folded and isinstance(quote, str))
    name, place = next(((name, place) for name, place in places if place is not None), (None, None))
    key = fact.get("fact_key")
    return StoredFact(
        fact_index=number,
        fact_key=key if isinstance(key, str) else None,
        value=_value_of(fact),
        quote=quote if isinstance(quote, str) else json.dumps(quote),
        cites=cites,
        evidence_id=name,
        quote_start=None if place is None else place[0],
        quote_end=None if place is None else place[1],
        occurrences=int(place is not None),
    )


def _value_of(fact: dict[str, Any]) -> str:
    if isinstance(fact.get("value"), str):
        return str(fact["value"])
    return cell(" · ".join(f"{name}: {value}" for name, value in fact.items() if name not in _NOT_ITS_VALUE), 500)
