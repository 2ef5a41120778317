"""Under which terms an answer with bad facts stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class OnBadFact(StrEnum):
    """What becomes of an answer in which some facts are bad and others are not (an interrogation's ``ON_BAD_FACT``)."""

    ASK_AGAIN = "ask_again"
    """The model is asked again while attempts are left; the last answer stands."""
    KEEP = "keep"
    """It stands."""
    STRICT = "strict"
    """It never stands."""


@dataclass(frozen=True)
class Terms:
    """What an interrogation does about bad facts, and whether the job has attempts left to ask again."""

    on_bad_fact: OnBadFact = OnBadFact.ASK_AGAIN
    may_ask_again: bool = True

    def admit(self, *, bad: int, facts: int) -> bool:
        """Whether an answer with so many bad ones among its facts stands; one without facts does."""
        if not bad:
            return True
        if bad == facts or self.on_bad_fact is OnBadFact.STRICT:
            return False
        return self.on_bad_fact is OnBadFact.KEEP or not self.may_ask_again


def entity_of(job_input: Mapping[str, Any]) -> str:
    """Return the name of what a job's facts are about: its input's ``entity_id``, if it has one."""
    name = job_input.get("entity_id")
    return name.replace("_", " ") if isinstance(name, str) else ""
