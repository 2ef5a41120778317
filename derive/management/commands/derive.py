"""``manage.py derive``: keeps the answers about a source's subjects current, at a price that is told first."""

import json
import sys
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from datetime import UTC, datetime
from getpass import getuser
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import connection

from derive.errors import HolocronError
from derive.management.quick_command import QuickCommand
from derive.sql.scripts import check_schema

if TYPE_CHECKING:
    from derive.deliveries.delivering import Delivered
    from derive.derivations.declarations import Declared

DONE, SOME_LEFT, COULD_NOT_START, STOPPED = 0, 1, 2, 130
_EXAMPLES = """
examples:
  manage.py derive list                                    what is declared, and the share that is current
  manage.py derive plan contract-terms                     what applying would do, and what it costs; changes nothing
  manage.py derive apply contract-terms                    queue what is missing or out of date, as a batch
  manage.py derive apply contract-terms --max-jobs 100     so many of them; the next call queues the rest
  manage.py derive status contract-terms
  manage.py derive ask contract-terms --failed --reason "the server was full"     derive the failed ones again
  manage.py derive ask contract-terms --entity 2024/acme.txt --reason "checked by hand"
  manage.py derive pause contract-terms --reason "until the new model is here"
  manage.py derive resume contract-terms

KEY is a derivation: a [[derivation]] table of the file that HOLOCRON_SOURCES names. apply can be repeated or
interrupted at any time: nothing is queued twice.
exit codes: 0 done, 1 something was left to the next call or could not be read, 2 error
"""


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 2**53:
        raise ArgumentTypeError(f"{text[:40]!r} is not a whole number from 1")
    return int(text)


class Command(QuickCommand):
    """List, plan, apply or show derivations."""

    help = "Derives answers about a source's subjects and keeps them current; tells the price first."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the actions and their options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = _EXAMPLES
        parser.add_argument("--json", action="store_true", help="print one line of JSON")
        actions = parser.add_subparsers(
            dest="action", metavar="list | plan | apply | status | ask | pause | resume", required=True
        )
        for action, help_text in (
            ("list", "list the derivations with the share that is current"),
            ("plan", "count and price what applying would do; changes nothing"),
            ("apply", "queue what is missing or out of date, as a batch"),
            ("status", "show subjects by state, and the last batches"),
            ("ask", "ask for new answers of subjects whose answers are current or failed; apply queues them"),
            ("pause", "queue nothing until it is resumed"),
            ("resume", "let it be applied again"),
        ):
            one = actions.add_parser(action, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
            one.add_argument("--json", action="store_true", default=SUPPRESS, help="print one line of JSON")
            if action != "list":
                one.add_argument("key", metavar="KEY", help="the derivation")
            if action == "apply":
                one.add_argument("--max-jobs", type=_count, metavar="N", help="queue at most so many jobs")
                one.add_argument("--budget-tokens", type=_count, metavar="N", help="the batch pauses itself at so many")
                one.add_argument("--budget-model-seconds", type=_count, metavar="N", help="or at so many of these")
            if action == "ask":
                which = one.add_mutually_exclusive_group(required=True)
                which.add_argument("--entity", action="append", metavar="ID", help="this subject; can be repeated")
                which.add_argument("--failed", action="store_true", help="all that failed")
                which.add_argument("--all", action="store_true", help="all that are current or failed")
            if action in {"apply", "ask", "pause", "resume"}:
                one.add_argument("--actor", metavar="NAME", help="who does it (default: the system user)")
                one.add_argument(
                    "--reason",
                    required=action in {"ask", "pause"},
                    metavar="TEXT",
                    help="why; saved to the history",
                )

    def handle(self, *_arguments: Any, **given: Any) -> None:
        """Do what was asked, and exit with the code."""
        try:
            check_schema(connection)
            code = self._act(given)
        except KeyboardInterrupt:
            self.stderr.write("derive: stopped; what was queued until then stays, and the next apply goes on")
            code = STOPPED
        except HolocronError as error:
            self.stderr.write(f"derive: {str(error).strip().partition(chr(10))[0]}")
            code = COULD_NOT_START
        sys.exit(code)

    def _act(self, given: dict[str, Any]) -> int:
        from derive.derivations.declarations import find_declared

        if given["action"] == "list":
            return self._list(given)
        declared = find_declared(given["key"])
        match given["action"]:
            case "plan":
                return self._plan(declared, given)
            case "apply":
                return self._apply(declared, given)
            case "status":
                return self._status(declared, given)
            case "ask":
                return self._ask(declared, given)
            case _:
                return self._pause(declared, given)

    def _list(self, given: dict[str, Any]) -> int:
        from derive.derivations.declarations import all_declared
        from derive.derivations.document import standing_document
        from derive.derivations.status import read_standings
        from derive.management.derivation_texts import standing_line

        standings = read_standings(all_declared())
        if given["json"]:
            self.stdout.write(_json([standing_document(one) for one in standings]))
            return DONE
        for one in standings:
            self.stdout.write(standing_line(one))
        if not standings:
            self.stdout.write("no derivations: declare one in the file that HOLOCRON_SOURCES names")
        return DONE

    def _plan(self, declared: "Declared", given: dict[str, Any]) -> int:
        from derive.derivations.document import plan_document
        from derive.derivations.planning import make_plan
        from derive.management.derivation_texts import plan_text

        plan = make_plan(declared)
        self.stdout.write(_json(plan_document(plan)) if given["json"] else plan_text(plan))
        return SOME_LEFT if plan.unreadable else DONE

    def _apply(self, declared: "Declared", given: dict[str, Any]) -> int:
        from derive.derivations.applying import Limits, apply_derivation
        from derive.derivations.document import applied_document
        from derive.management.derivation_texts import applied_text
        from derive.queue import JobQueue

        limits = Limits(
            max_jobs=given["max_jobs"],
            budget_tokens=given["budget_tokens"],
            budget_model_seconds=given["budget_model_seconds"],
        )
        who = {"actor": given["actor"] or getuser(), "reason": given["reason"]}
        applied = apply_derivation(declared, JobQueue(), **who, limits=limits)
        words = applied_text(declared.key, applied)
        self.stdout.write(_json(applied_document(declared.key, applied)) if given["json"] else words)
        return SOME_LEFT if applied.left or applied.unreadable else DONE

    def _status(self, declared: "Declared", given: dict[str, Any]) -> int:
        from derive.deliveries.document import target_document
        from derive.derivations.document import standing_document
        from derive.derivations.status import read_standing
        from derive.management.delivery_texts import waiting_lines
        from derive.management.derivation_texts import standing_text

        standing, target = read_standing(declared), _target(declared)
        if given["json"]:
            document = standing_document(standing)
            self.stdout.write(_json(document | ({"target": target_document(target)} if target else {})))
            return DONE
        self.stdout.write(standing_text(standing))
        if target is not None:
            self.stdout.write("\n".join(waiting_lines(target)))
        return DONE

    def _ask(self, declared: "Declared", given: dict[str, Any]) -> int:
        from derive.derivations.applying import ask_again, entities_named
        from derive.queue import JobQueue
        from derive.states import SubjectState

        states = (SubjectState.FAILED,) if given["failed"] else (SubjectState.CURRENT, SubjectState.FAILED)
        entities = None if given["entity"] is None else iter(entities_named(declared, given["entity"]))
        who = {"actor": given["actor"] or getuser(), "reason": given["reason"]}
        asked = ask_again(declared, JobQueue(), **who, entities=entities, states=states)
        document = {"derivation": declared.key, "asked": asked}
        words = f"{declared.key}: {asked:,} asked for; manage.py derive apply {declared.key} queues them"
        self.stdout.write(_json(document) if given["json"] else words)
        return DONE

    def _pause(self, declared: "Declared", given: dict[str, Any]) -> int:
        from derive.derivations.declarations import record
        from derive.queue import JobQueue

        queue, actor = JobQueue(), given["actor"] or getuser()
        record(declared, queue, actor=actor)
        is_pause = given["action"] == "pause"
        change = queue.pause_derivation(declared.key, actor=actor, paused=is_pause, reason=given["reason"])
        document = {"derivation": declared.key, "action": given["action"], "changed": change.changed}
        words = f"{declared.key}: {'paused' if is_pause else 'resumed'}{'' if change.changed else ' already'}"
        self.stdout.write(_json(document) if given["json"] else words)
        return DONE if change.changed else SOME_LEFT


def _target(declared: "Declared") -> "Delivered | None":
    """Return what waits for a derivation's target; None if it declares none that can be used."""
    from derive.deliveries.delivering import look, target_of

    if declared.declaration is None or declared.broken is not None or target_of(declared) is None:
        return None
    return look(declared)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_as_json)


def _as_json(value: datetime | UUID) -> str:
    return str(value) if isinstance(value, UUID) else value.astimezone(UTC).isoformat().replace("+00:00", "Z")
