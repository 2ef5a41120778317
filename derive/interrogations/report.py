"""The report on one answer (``validation.json``): named checks with their results, and what an error would say.

Details carry a short excerpt of what was wrong, for a correction and for who may see payloads. The error's message
carries none: it goes into rows and logs.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from derive.contracts import JudgedFact
from derive.errors import RunError
from derive.facts.terms import Terms
from derive.interrogations.correction import shorten
from derive.strict_types import Frozen

MAX_MESSAGE_CHARACTERS = 1_000
MAX_FACTS_TOLD = 1_000
MAX_FOLDED_TOLD = 100
_MAX_EXCERPT_CHARACTERS = 120
_MAX_PATH_CHARACTERS = 200
_TERMS = Terms()
_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}\Z")


class Detail(Frozen):
    """One thing that is wrong: where, what, and the beginning of what stands there.

    ``why`` is a rule's reason in words, which may repeat the answer.
    """

    path: str
    problem: str
    excerpt: str | None = None
    why: str | None = None


class ValidationCheck(Frozen):
    """One named check and its result; a check that an earlier failure made pointless is skipped.

    ``kept``: some facts failed it, and the answer stands without them.
    """

    name: Literal["json", "schema", "model", "grounding", "proof"]
    result: Literal["passed", "failed", "skipped", "kept"]
    details: tuple[Detail, ...] = ()


@dataclass(frozen=True)
class Validation:
    """What was made of an answer: its checks, its facts, and either its value or the error to end the run with.

    ``folded_quotes`` are the paths of quotes that stand in the evidence only once typography is folded. ``facts`` are
    those of any answer that has the form it should have, whether it stands or not.
    """

    checks: tuple[ValidationCheck, ...]
    value: Any
    error: RunError | None
    folded_quotes: tuple[str, ...] = ()
    facts: tuple[JudgedFact, ...] = ()
    terms: Terms = _TERMS

    @property
    def valid(self) -> bool:
        """Whether the answer may be kept as output."""
        return self.error is None

    @property
    def output_json(self) -> str | None:
        """The valid answer as compact JSON in the members' own order (``output.json``, ``run.output_json``)."""
        return json.dumps(self.value, ensure_ascii=False, separators=(",", ":")) if self.valid else None

    def report(self) -> dict[str, Any]:
        """Return what ``validation.json`` holds; ``folded_quotes`` only where there are some.

        Of at most a thousand facts the verdict is told, and of a hundred folded quotes the path.
        """
        report = {
            "valid": self.valid,
            "error_kind": None if self.error is None else self.error.kind.value,
            "error": None if self.error is None else str(self.error),
            "checks": [check.model_dump(mode="json") for check in self.checks],
            "on_bad_fact": self.terms.on_bad_fact.value,
            "may_ask_again": self.terms.may_ask_again,
            "verdicts": Counter(fact.verdict.value for fact in self.facts),
            "facts": [
                {"path": fact.path, "verdict": fact.verdict.value, "proof": fact.proof, "why": fact.why}
                for fact in self.facts[:MAX_FACTS_TOLD]
            ],
        }
        folded = self.folded_quotes[:MAX_FOLDED_TOLD]
        return report | ({"folded_quotes": list(folded)} if folded else {})


def message_of(details: tuple[Detail, ...]) -> str:
    """Return the problems in one line without any excerpt, bounded."""
    return shorten("; ".join(f"{detail.path} {detail.problem}" for detail in details), MAX_MESSAGE_CHARACTERS)


def path_of(parts: tuple[int | str, ...]) -> str:
    """Return ``facts[2].quote``; a name that no schema of ours would have is not repeated."""
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if _PLAIN_NAME.match(part) else ".(other)"
    return shorten(path.removeprefix("."), _MAX_PATH_CHARACTERS) or "the answer"


def excerpt_of(value: Any) -> str | None:
    """Return the beginning of a scalar as JSON; of an array or object nothing."""
    if isinstance(value, str):
        return json.dumps(shorten(value, _MAX_EXCERPT_CHARACTERS), ensure_ascii=False)
    if value is None or isinstance(value, bool | float):
        return json.dumps(value)
    # An integer may have thousands of digits.
    return str(value) if isinstance(value, int) and abs(value) < 10**30 else None
