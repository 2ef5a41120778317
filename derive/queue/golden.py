"""Procedures for golden cases and experiments."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from derive.golden_contracts import CaseInput, SaveOutcome
from derive.queue.connection import QueueConnection, given
from derive.sql import payloads, procedures


class GoldenQueue(QueueConnection):
    """The golden cases that people keep, and the experiments on them."""

    def save_golden_cases(self, cases: Sequence[CaseInput], *, actor: str, replaces: bool = False) -> list[SaveOutcome]:
        """Save up to 20,000 cases, all or none, and return what became of each, in order. Repeatable.

        Nothing is saved if the set has another case of one of the keys (``EXISTS``), unless ``replaces``. Raises
        BadArgument.
        """
        arguments = {"cases_json": payloads.cases_json(cases), "actor": actor, "replaces": replaces}
        rows = self._call(procedures.SAVE_GOLDEN_CASES, arguments)
        return [SaveOutcome(row[1]) for row in sorted(rows, key=lambda row: int(row[0]))]

    def open_experiment(
        self,
        experiment_id: UUID,
        *,
        set_name: str,
        batch_id: UUID,
        variants: Sequence[Mapping[str, Any]],
        gates: Sequence[str],
        actor: str,
        repeats: int = 1,
        reason: str | None = None,
    ) -> int:
        """Record an experiment with its own copy of the set's cases; return how many: 0 if the set has none.

        Repeatable. Raises BadArgument.
        """
        arguments = given(
            experiment_id=experiment_id,
            set_name=set_name,
            batch_id=batch_id,
            variants_json=_dumped({"variants": list(variants)}),
            gates_json=_dumped({"gates": list(gates)}),
            actor=actor,
            repeats=repeats,
            reason=reason,
        )
        return int(self._call(procedures.OPEN_EXPERIMENT, arguments)[0][0])

    def record_experiment(self, experiment_id: UUID, result: Mapping[str, Any], *, is_passed: bool) -> bool:
        """Keep an experiment's result; return whether it was kept, since the first one stays. Raises BadArgument."""
        arguments = {"experiment_id": experiment_id, "result_json": _dumped(result), "is_passed": is_passed}
        return bool(self._call(procedures.RECORD_EXPERIMENT, arguments)[0][0])


def _dumped(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
