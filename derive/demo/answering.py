"""What the stand-in answers to a prompt: facts taken from its evidence by rules, in the schema asked for.

Some of its answers are wrong on purpose, so that the demo can show what comes of that. Where the evidence says
``MISQUOTE_MARKER``, quotes get words that do not stand there, until the prompt tells of that mistake. Where it says
``MISREAD_MARKER``, figures are misread, and the last fact cites the first sentence.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from derive.demo.filling import CitedFact, Filler
from derive.demo.prompt_reading import ReadPrompt, read_prompt
from derive.demo.rules import RuleFact, find_facts, first_sentence
from derive.plural import plural

MISQUOTE_MARKER = "the stand-in misquotes this evidence until it is told so"
MISREAD_MARKER = "the stand-in misreads the figures of this evidence"
BEHAVIOUR = (
    "Not a language model. It finds facts in the evidence by fixed patterns and fills the rest of the schema with"
    f" plain values. Where the evidence says '{MISQUOTE_MARKER}', it misquotes on purpose until the prompt tells of"
    f" an earlier answer's mistake; where it says '{MISREAD_MARKER}', it gets figures and a citation wrong."
)
_CONFIDENCE_IN_DISAGREEMENT = 50
"""Where items say different things of what can be but one."""
_MISQUOTED = "as far as anyone remembers, "


def answer(prompt: str, schema: dict[str, Any] | None) -> str:
    """Return the JSON text that answers the prompt in the given schema, or in plain words without one.

    Raises SchemaRefused when the schema cannot be filled.
    """
    read = read_prompt(prompt)
    facts = tuple(_cited_facts(read))
    if schema is None:
        return f"holocron-demo is a stand-in, not a language model. Its rules found {plural(len(facts), 'fact')}."
    filled = Filler(schema, facts=facts, citation=_plain_citation(read)).fill()
    return json.dumps(filled, ensure_ascii=False)


def _cited_facts(read: ReadPrompt) -> Iterator[CitedFact]:
    found = {
        (fact.fact_key, fact.value): (item, fact) for item in reversed(read.items) for fact in find_facts(item.text)
    }
    sources: dict[str, set[str]] = defaultdict(set)
    for item, fact in found.values():
        if fact.single:
            sources[fact.fact_key].add(item.evidence_id)
    for item in read.items:
        misquotes = MISQUOTE_MARKER in item.text and not read.corrected
        for fact in find_facts(item.text):
            if found[fact.fact_key, fact.value][0] is not item:
                continue  # said by an earlier item already
            value, quote = _misread(fact, item.text) if MISREAD_MARKER in item.text else (fact.value, fact.quote)
            disagrees = len(sources[fact.fact_key]) > 1
            yield {
                "fact_key": fact.fact_key,
                "value": value,
                "confidence": min(fact.confidence, _CONFIDENCE_IN_DISAGREEMENT) if disagrees else fact.confidence,
                "evidence_ids": [item.evidence_id],
                "quote": _MISQUOTED + quote if misquotes else quote,
            }


def _misread(fact: RuleFact, text: str) -> tuple[str, str]:
    """Return a value with its figures turned round, and of a fact of the last sentence the first one as its quote."""
    value = re.sub(r"\d+", lambda figures: figures[0][::-1], fact.value)
    is_last = text.rstrip().endswith(fact.quote)
    return value, first_sentence(text) if is_last else fact.quote


def _plain_citation(read: ReadPrompt) -> CitedFact | None:
    for item in read.items:
        if sentence := first_sentence(item.text):
            return {"evidence_ids": [item.evidence_id], "quote": sentence}
    return None
