"""What the stand-in answers to a prompt: facts taken from its evidence by rules, in the schema asked for.

One of its answers is wrong on purpose, so that the demo can show a job being asked again: where the evidence says
``MISQUOTE_MARKER``, quotes get words that do not stand there, until the prompt tells of that mistake.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from derive.demo.filling import CitedFact, Filler
from derive.demo.prompt_reading import ReadPrompt, read_prompt
from derive.demo.rules import find_facts, first_sentence
from derive.plural import plural

MISQUOTE_MARKER = "the stand-in misquotes this evidence until it is told so"
BEHAVIOUR = (
    "Not a language model. It finds facts in the evidence by fixed patterns and fills the rest of the schema with"
    f" plain values. Where the evidence says '{MISQUOTE_MARKER}', it misquotes on purpose until the prompt tells of"
    " an earlier answer's mistake."
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
            disagrees = len(sources[fact.fact_key]) > 1
            yield {
                "fact_key": fact.fact_key,
                "value": fact.value,
                "confidence": min(fact.confidence, _CONFIDENCE_IN_DISAGREEMENT) if disagrees else fact.confidence,
                "evidence_ids": [item.evidence_id],
                "quote": _MISQUOTED + fact.quote if misquotes else fact.quote,
            }


def _plain_citation(read: ReadPrompt) -> CitedFact | None:
    for item in read.items:
        if sentence := first_sentence(item.text):
            return {"evidence_ids": [item.evidence_id], "quote": sentence}
    return None
