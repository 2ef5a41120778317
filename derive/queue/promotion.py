"""Procedures for the live version of an interrogation and its gate."""

import json
from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from derive.queue.connection import QueueConnection, given
from derive.sql import procedures
from derive.sql.calls import as_guid


class Promotion(NamedTuple):
    """Whether a version is live now, and why not, or ``already live``; ``experiment_id`` passed the gate."""

    promoted: bool
    version: str | None
    definition_sha256: str | None
    why: str | None
    experiment_id: UUID | None = None


class PromotionQueue(QueueConnection):
    """Promotes versions, rolls promotions back, and sets the gates that versions have to pass."""

    def promote_interrogation(
        self, interrogation_key: str, version: str, *, actor: str, reason: str | None = None
    ) -> Promotion:
        """Make a registered version live; refused, with why, if it is unknown or has not passed the key's gate.

        Repeatable. Raises BadArgument.
        """
        arguments = given(interrogation_key=interrogation_key, version=version, actor=actor, reason=reason)
        ((promoted, sha256, experiment_id, why),) = self._call(procedures.PROMOTE_INTERROGATION, arguments)
        experiment = None if experiment_id is None else as_guid(experiment_id)
        return Promotion(bool(promoted), version, sha256, why, experiment)

    def roll_back_interrogation(self, interrogation_key: str, *, actor: str, reason: str | None = None) -> Promotion:
        """Make the version live that was promoted before the live one; refused, with why, if none was.

        Raises BadArgument.
        """
        arguments = given(interrogation_key=interrogation_key, actor=actor, reason=reason)
        ((promoted, sha256, version, why),) = self._call(procedures.ROLL_BACK_INTERROGATION, arguments)
        return Promotion(bool(promoted), version, sha256, why)

    def set_gate(
        self,
        interrogation_key: str,
        *,
        actor: str,
        set_name: str | None = None,
        gates: Sequence[str] = (),
        compares_live: bool = False,
        reason: str | None = None,
    ) -> bool:
        """Set the gates that a version has to pass on a golden set; without a set, remove them.

        ``compares_live`` says that one of them compares with the live version. Returns whether anything changed.
        Raises BadArgument.
        """
        gates_json = None
        if set_name is not None:
            gates_json = json.dumps({"gates": list(gates), "compares_live": compares_live}, ensure_ascii=False)
        arguments = given(
            interrogation_key=interrogation_key, actor=actor, set_name=set_name, gates_json=gates_json, reason=reason
        )
        return bool(self._call(procedures.SET_GATE, arguments)[0][0])
