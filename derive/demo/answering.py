"""Answers a prompt for the stand-in: facts that rules find in the evidence, in the requested schema.

Some answers are wrong on purpose, so that the demo can show the consequences. If the evidence contains
``MISQUOTE_MARKER``, quotes get words that are not in it, until the prompt points out that mistake. If it contains
``MISREAD_MARKER``, numbers are misread, and the last fact cites the first sentence.
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
"""Confidence if items disagree about a fact that can have only one value."""
_MISQUOTED = "as far as anyone remembers, "


def answer(prompt: str, schema: dict[str, Any] | None) -> str:
    """Return the answer to the prompt as JSON in the given schema, or as plain text without one.

    Raises SchemaRefused if the schema cannot be filled.
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
                continue  # an earlier item says the same
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
    """Return a value with its digits reversed; for a fact from the last sentence, the quote becomes the first one."""
    value = re.sub(r"\d+", lambda figures: figures[0][::-1], fact.value)
    is_last = text.rstrip().endswith(fact.quote)
    return value, first_sentence(text) if is_last else fact.quote


def _plain_citation(read: ReadPrompt) -> CitedFact | None:
    for item in read.items:
        if sentence := first_sentence(item.text):
            return {"evidence_ids": [item.evidence_id], "quote": sentence}
    return None
