"""What the model answers while chaos reigns: mostly properly, sometimes in one of all the ways that go wrong."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from random import Random

from tests.fake_ollama import Behaviour, Exchange, Gate, behaviours
from tests.fake_ollama.answers import facts_content

QUOTE = "Tala Venn was born on Corvessa"
PASSAGE = f"{QUOTE}. She commands the frigate Patient Lantern."
GOOD_ANSWER = facts_content(("e1", QUOTE))
KEPT_CURRENT = "This letter is kept current, in edition"
"""What marks the text of a file: its only item of evidence has another id."""
ANSWER_TO_A_FILE = facts_content(("document", QUOTE))
REFUTED_FACT = {"fact_key": "homeworld", "value": "the moon of Ord Tessel", "confidence": 90, "evidence_ids": ["e1"]}
REFUTED = json.dumps({"facts": [REFUTED_FACT | {"quote": QUOTE}]})
MIXED = json.dumps({"facts": [*json.loads(GOOD_ANSWER)["facts"], REFUTED_FACT | {"quote": QUOTE}]})
HELD_BACK = "the envoy waits at the gate"
"""A passage with these words is answered when the gate opens."""
FAULT_SHARE = 0.25
SLOW_SECONDS = (0.5, 2.5)

FAULTS: dict[str, Callable[[], Behaviour]] = {
    "model missing (404)": lambda: behaviours.model_not_found("llama3.2"),
    "overloaded (503)": behaviours.overloaded,
    "crashed (500)": behaviours.crashed,
    "redirected (307)": lambda: behaviours.redirect("http://127.0.0.1:9/"),
    "silent": behaviours.silent,
    "falls silent": behaviours.falls_silent,
    "ends early": behaviours.ends_early,
    "breaks off": behaviours.breaks_off,
    "a line cut": behaviours.cut_line,
    "connection closed before an answer": behaviours.closed_before_headers,
    "connection reset before an answer": behaviours.reset_before_headers,
    "connection reset in the answer": behaviours.reset_after_headers,
    "an error inside a 200": behaviours.error_line,
    "done: false": behaviours.done_false,
    "done_reason: length": behaviours.truncated,
    "bytes that are not UTF-8": behaviours.not_utf8,
    "a line that is not JSON": behaviours.not_json_line,
    "content that is not JSON": behaviours.not_json_content,
    "JSON that is not the schema": behaviours.not_the_schema,
    "NaN": behaviours.nan,
    "Infinity": behaviours.infinity,
    "a quote that is not there": lambda: behaviours.wrong_quote("e1"),
    "an evidence id that does not exist": lambda: behaviours.unknown_evidence_id(QUOTE),
    "a value that its quote refutes": lambda: behaviours.answer(REFUTED),
    "a good fact and a bad one": lambda: behaviours.answer(MIXED),
    "the stream stays open": behaviours.stays_open,
    "an endless line": behaviours.endless_line,
}


class ModelFaults:
    """The behaviour of ``/api/chat``: one of the faults in so many answers, until it is calmed."""

    def __init__(self, rng: Random) -> None:
        self.injected: Counter[str] = Counter()
        self.gate = Gate()
        self.is_calm = False
        self._rng = rng

    async def __call__(self, exchange: Exchange) -> None:
        if HELD_BACK.encode() in exchange.request.body:
            await self.gate.wait()
            await behaviours.answer(GOOD_ANSWER)(exchange)
        elif self.is_calm or self._rng.random() > FAULT_SHARE:
            await asyncio.sleep(self._rng.uniform(0.02, 0.3))
            await behaviours.answer(_good_answer(exchange))(exchange)
        elif self._rng.random() < 1 / len(FAULTS):
            self.injected["slow"] += 1
            await asyncio.sleep(self._rng.uniform(*SLOW_SECONDS))
            await behaviours.answer(_good_answer(exchange))(exchange)
        else:
            name = self._rng.choice(list(FAULTS))
            self.injected[name] += 1
            await FAULTS[name]()(exchange)


def _good_answer(exchange: Exchange) -> str:
    return ANSWER_TO_A_FILE if KEPT_CURRENT.encode() in exchange.request.body else GOOD_ANSWER
