"""Reads a prompt for the stand-in: the fenced evidence, and whether an earlier answer was rejected.

A prompt announces the delimiter around its evidence; only lines that begin with exactly that delimiter count
(``derive.interrogations.rendering`` writes them). The stand-in finds no evidence in prompts of any other form.
"""

import json
import re
from dataclasses import dataclass

_ANNOUNCED = re.compile(r"^Each item of evidence begins with a line that starts with (?P<mark>\[\[[0-9a-f]+\]\])", re.M)


@dataclass(frozen=True)
class Evidence:
    """One fenced item."""

    evidence_id: str
    text: str


@dataclass(frozen=True)
class ReadPrompt:
    """The content of a prompt; ``corrected`` means that it says what was wrong with the previous answer."""

    items: tuple[Evidence, ...]
    corrected: bool


def read_prompt(prompt: str) -> ReadPrompt:
    """Find the evidence in a prompt; text in it that only looks like a delimiter is ignored."""
    announced = _ANNOUNCED.search(prompt)
    if announced is None:
        return ReadPrompt(items=(), corrected=False)
    mark = announced["mark"]
    items: list[Evidence] = []
    for section in prompt[announced.end() :].split(f"\n{mark} ")[1:]:
        heading, _, text = section.partition("\n")
        name, _, quoted_id = heading.partition(": ")
        if name == "evidence_id":
            items.append(Evidence(evidence_id=json.loads(quoted_id), text=text))
    return ReadPrompt(items=tuple(items), corrected=f"\n{mark} what was wrong\n" in prompt)
