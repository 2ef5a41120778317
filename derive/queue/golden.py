"""Procedures for golden cases."""

from collections.abc import Sequence

from derive.golden_contracts import CaseInput, SaveOutcome
from derive.queue.connection import QueueConnection
from derive.sql import payloads, procedures


class GoldenQueue(QueueConnection):
    """The golden cases that people keep."""

    def save_golden_cases(self, cases: Sequence[CaseInput], *, actor: str, replaces: bool = False) -> list[SaveOutcome]:
        """Save up to 20,000 cases, all or none, and return what became of each, in order. Repeatable.

        Nothing is saved if the set has another case of one of the keys (``EXISTS``), unless ``replaces``. Raises
        BadArgument.
        """
        arguments = {"cases_json": payloads.cases_json(cases), "actor": actor, "replaces": replaces}
        rows = self._call(procedures.SAVE_GOLDEN_CASES, arguments)
        return [SaveOutcome(row[1]) for row in sorted(rows, key=lambda row: int(row[0]))]
