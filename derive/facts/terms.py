"""The terms on which an answer with bad facts is accepted."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class OnBadFact(StrEnum):
    """What to do with an answer in which some, but not all facts are bad (an interrogation's ``ON_BAD_FACT``)."""

    ASK_AGAIN = "ask_again"
    """The model is asked again while attempts are left; the last answer is accepted."""
    KEEP = "keep"
    """The answer is accepted."""
    STRICT = "strict"
    """The answer is never accepted."""


@dataclass(frozen=True)
class Terms:
    """An interrogation's policy for bad facts, and whether the job has attempts left to ask again."""

    on_bad_fact: OnBadFact = OnBadFact.ASK_AGAIN
    may_ask_again: bool = True

    def admit(self, *, bad: int, facts: int) -> bool:
        """Whether an answer with this many bad facts is accepted; one without facts always is."""
        if not bad:
            return True
        if bad == facts or self.on_bad_fact is OnBadFact.STRICT:
            return False
        return self.on_bad_fact is OnBadFact.KEEP or not self.may_ask_again


def entity_of(job_input: Mapping[str, Any]) -> str:
    """Return the name of the subject of a job's facts: its input's ``entity_id``, if any."""
    name = job_input.get("entity_id")
    return name.replace("_", " ") if isinstance(name, str) else ""
