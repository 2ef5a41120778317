"""``manage.py promote``: says which version of an interrogation jobs get, and what a version has to pass first."""

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from getpass import getuser
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection

from derive.errors import ConfigurationError, HolocronError
from derive.management.quick_command import QuickCommand
from derive.sql.scripts import check_schema

if TYPE_CHECKING:
    from derive.queue.promotion import Promotion

DONE, REFUSED, COULD_NOT_START = 0, 1, 2
_EXAMPLES = """
examples:
  manage.py promote sw_entity_facts_v1 1.1.0 --reason "better on heights"
  manage.py promote sw_entity_facts_v1 --rollback --reason "refuses too much"
  manage.py promote sw_entity_facts_v1 --gate heights "f1>=live" "recall>=0.9"
  manage.py promote sw_entity_facts_v1 --no-gate

Workers use a promoted version within seconds, without a restart. A worker that does not have it leaves the jobs of the
key to others. With nothing promoted, jobs get the highest installed version. A gate is passed by an experiment
(manage.py evaluate) on its golden set, in which the version was asked without a model or options of its own.
exit codes: 0 done, 1 refused (the gate, an unknown version, nothing to roll back to), 2 could not start
"""


class Command(QuickCommand):
    """Promote a version, roll back, or set a gate."""

    help = "Says which version of an interrogation jobs get, and what a version has to pass before it is promoted."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = _EXAMPLES
        parser.add_argument("key", metavar="KEY", help="the interrogation")
        parser.add_argument("version", nargs="?", metavar="VERSION", help="the version that jobs are to get")
        others = parser.add_mutually_exclusive_group()
        others.add_argument("--rollback", action="store_true", help="go back to the version promoted before")
        others.add_argument(
            "--gate", nargs="+", metavar=("SET", "EXPR"), help="what a version has to pass, on which golden set"
        )
        others.add_argument("--no-gate", action="store_true", help="remove the gate")
        parser.add_argument("--reason", default=None, help="saved to the history")
        parser.add_argument("--actor", default=None, help="name recorded as doing it (default: this OS user)")
        parser.add_argument("--json", action="store_true", help="print one line of JSON")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Act, and exit with the code."""
        try:
            acts = [given["version"] is not None, given["rollback"], given["gate"] is not None, given["no_gate"]]
            if sum(acts) != 1:
                raise ConfigurationError("give one of VERSION, --rollback, --gate and --no-gate")
            check_schema(connection)
            code = self._set_gate(given) if given["gate"] or given["no_gate"] else self._promote(given)
        except HolocronError as error:
            self.stderr.write(f"promote: {error}")
            code = COULD_NOT_START
        sys.exit(code)

    def _set_gate(self, given: dict[str, Any]) -> int:
        from derive.queue import JobQueue
        from derive.scoring.gates import BadGate, parse_gate

        set_name, *texts = given["gate"] or [None]
        if set_name is not None and not texts:
            raise ConfigurationError('--gate needs a golden set and at least one condition, such as "f1>=live"')
        try:
            gates = [parse_gate(text) for text in texts]
        except BadGate as error:
            raise ConfigurationError(str(error)) from None
        changed = JobQueue().set_gate(
            given["key"],
            actor=given["actor"] or getuser(),
            set_name=set_name,
            gates=[gate.text for gate in gates],
            compares_live=any(gate.is_relative for gate in gates),
            reason=given["reason"],
        )
        told = {"interrogation": given["key"], "gate_set": set_name, "gates": [gate.text for gate in gates]}
        words = (
            "The gate was removed." if set_name is None else f"The gate is {', '.join(told['gates'])} on {set_name}."
        )
        self._print(given, told | {"changed": changed}, words if changed else "Nothing changed.")
        return DONE

    def _promote(self, given: dict[str, Any]) -> int:
        from derive.interrogations.registry import Registry
        from derive.queue import JobQueue

        queue, actor = JobQueue(), given["actor"] or getuser()
        if given["rollback"]:
            answer = queue.roll_back_interrogation(given["key"], actor=actor, reason=given["reason"])
        else:
            answer = queue.promote_interrogation(given["key"], given["version"], actor=actor, reason=given["reason"])
        registry = Registry.load(settings.INTERROGATIONS_FOLDER)
        is_here = (
            answer.definition_sha256 is not None and registry.with_definition(answer.definition_sha256) is not None
        )
        if answer.promoted and not is_here:
            self.stderr.write(
                f"promote: {given['key']} {answer.version} is not installed here; a worker has to have it"
            )
        self._print(given, _told(given["key"], answer) | {"installed_here": is_here}, _in_words(given["key"], answer))
        return DONE if answer.promoted else REFUSED

    def _print(self, given: dict[str, Any], told: dict[str, Any], words: str) -> None:
        self.stdout.write(json.dumps(told, ensure_ascii=False) if given["json"] else words)


def _told(key: str, answer: "Promotion") -> dict[str, Any]:
    return {
        "interrogation": key,
        "promoted": answer.promoted,
        "version": answer.version,
        "definition_sha256": answer.definition_sha256,
        "experiment": None if answer.experiment_id is None else str(answer.experiment_id),
        "why": answer.why,
    }


def _in_words(key: str, answer: "Promotion") -> str:
    if not answer.promoted:
        return f"Refused: {answer.why}."
    return f"{key} {answer.version} is {answer.why or 'live now'}."
