"""The report on one answer (``validation.json``): named checks with their results, and the message of an error.

Details contain a short excerpt of the faulty value, for the correction and for users who may see payloads. The error
message contains no excerpt, because it is written to rows and logs.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
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
    """One fault: its place, a description, and the beginning of the faulty value.

    ``why`` is the reason a rule gives, which may repeat parts of the answer.
    """

    path: str
    problem: str
    excerpt: str | None = None
    why: str | None = None


class ValidationCheck(Frozen):
    """One named check and its result; checks after a failed one are skipped where they would be pointless.

    The result ``kept`` means that some facts failed and the answer is kept without them.
    """

    name: Literal["json", "schema", "model", "grounding", "proof"]
    result: Literal["passed", "failed", "skipped", "kept"]
    details: tuple[Detail, ...] = ()


@dataclass(frozen=True)
class Validation:
    """The result of validating an answer: its checks, its facts, and either its value or the error that ends the run.

    ``folded_quotes`` are the paths of quotes that were found only with typography folded. ``facts`` are present for
    every answer that matches the schema, whether it is kept or not.
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
        """The valid answer as compact JSON, its members in their own order (``output.json``, ``run.output_json``)."""
        return json.dumps(self.value, ensure_ascii=False, separators=(",", ":")) if self.valid else None

    def report(self) -> dict[str, Any]:
        """Return the content of ``validation.json``; ``folded_quotes`` is present only if there are any.

        It lists the verdicts of at most 1,000 facts and the paths of at most 100 folded quotes.
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
    """Return the problems as one line of limited length, without excerpts."""
    return shorten("; ".join(f"{detail.path} {detail.problem}" for detail in details), MAX_MESSAGE_CHARACTERS)


@lru_cache(maxsize=2_048)
def path_of(parts: tuple[int | str, ...]) -> str:
    """Return a path such as ``facts[2].quote``; unusual names are not repeated, since the model chose them.

    Cached, since most answers of an interrogation have the same paths.
    """
    path = ""
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if _PLAIN_NAME.match(part) else ".(other)"
    return shorten(path.removeprefix("."), _MAX_PATH_CHARACTERS) or "the answer"


def excerpt_of(value: Any) -> str | None:
    """Return the beginning of a scalar as JSON, and nothing for an array or object."""
    if isinstance(value, str):
        return json.dumps(shorten(value, _MAX_EXCERPT_CHARACTERS), ensure_ascii=False)
    if value is None or isinstance(value, bool | float):
        return json.dumps(value)
    # An integer can have thousands of digits.
    return str(value) if isinstance(value, int) and abs(value) < 10**30 else None
