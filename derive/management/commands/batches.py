"""``manage.py batches``: jobs queued together, how far they have come, and what can be done to all of them."""

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
    from derive.batch_contracts import BatchChange
    from derive.batches.acting import Changes

DONE, SOME_REFUSED, COULD_NOT_START = 0, 1, 2
_EXAMPLES = """
examples:
  manage.py enqueue_jobs jobs.jsonl --batch letters                 queue jobs as a batch
  manage.py batches                                                 the newest batches
  manage.py batches show letters                                    progress, time left, cost, failures
  manage.py batches watch letters                                   a line whenever something changed, until it ends
  manage.py batches pause letters --reason "GPU maintenance"        start none of its jobs; running ones finish
  manage.py batches resume letters
  manage.py batches retry letters --reason "model was replaced"     requeue its failed and dead-lettered jobs
  manage.py batches priority letters 500 --reason "urgent"
  manage.py batches budget letters --tokens 2000000 --reason "agreed"
  manage.py batches cancel letters --reason "wrong prompt"

BATCH is a batch's id, or a name: the newest batch of that name. Changes take effect in steps of 500 jobs; the command
ends when all are done, and one that was interrupted can be run again.
exit codes: 0 done, 1 nothing or not everything could be changed, 2 error
"""


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**31:
        raise ArgumentTypeError(f"{text[:40]!r} is not a whole number from 0")
    return int(text)


def _budget(text: str) -> int:
    if text == "none":
        return 0
    if not text.isdecimal() or not 1 <= int(text) <= 2**53:
        raise ArgumentTypeError(f"{text[:40]!r} is not a whole number from 1, or none")
    return int(text)


class Command(QuickCommand):
    """List or show batches, or change all jobs of one."""

    help = "Lists and shows batches; pauses, resumes, cancels and retries one, sets its priority or budget."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the actions and their options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = _EXAMPLES
        parser.add_argument("--json", action="store_true", help="print one line of JSON")
        parser.add_argument("--limit", type=_count, default=20, metavar="N", help="list so many (default: 20)")
        actions = parser.add_subparsers(
            dest="action", metavar="show | watch | pause | resume | cancel | retry | priority | budget | fill"
        )
        for action, help_text in (
            ("show", "show progress, time left, cost and failures of a batch"),
            ("watch", "print a line of progress whenever it changed, until the batch has ended"),
            ("pause", "start none of its jobs"),
            ("resume", "let its jobs start again"),
            ("cancel", "take no more jobs, cancel those that wait, stop those that run"),
            ("retry", "requeue its failed and dead-lettered jobs"),
            ("priority", "set the priority of its unfinished jobs"),
            ("budget", "set or remove its budgets"),
            ("fill", "say that all its jobs are queued, so that it can end"),
        ):
            one = actions.add_parser(action, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
            one.add_argument("batch", metavar="BATCH", help="id or name")
            one.add_argument("--json", action="store_true", default=SUPPRESS, help="print one line of JSON")
            if action == "priority":
                one.add_argument("priority", type=_count, metavar="N", help="0 or more, higher runs first")
            if action == "budget":
                one.add_argument("--tokens", type=_budget, metavar="N", help="none removes it")
                one.add_argument("--model-seconds", type=_budget, metavar="N", help="none removes it")
            if action not in {"show", "watch"}:
                one.add_argument(
                    "--reason", required=action not in {"resume", "fill"}, help="saved to the batch's and jobs' history"
                )
                one.add_argument("--actor", default=None, help="name recorded as doing it (default: this OS user)")

    def handle(self, *_args: Any, **given: Any) -> None:
        """List, show or change, and exit with the code."""
        try:
            check_schema(connection)
            code = self._list(given) if given["action"] is None else self._act(given)
        except HolocronError as error:
            self.stderr.write(f"batches: {error}")
            code = COULD_NOT_START
        sys.exit(code)

    def _list(self, given: dict[str, Any]) -> int:
        from derive.batches.document import as_document
        from derive.batches.reading import read_figures
        from derive.models import Batch

        documents = [as_document(read_figures(one)) for one in Batch.objects.order_by("-batch_seq")[: given["limit"]]]
        if given["json"]:
            self.stdout.write(_json(documents))
        else:
            from derive.management.batch_tables import show_batches  # it draws with rich

            show_batches(documents)
        return DONE

    def _act(self, given: dict[str, Any]) -> int:
        from derive.batches.finding import find_batch

        batch = find_batch(given["batch"])
        if batch is None:
            self.stderr.write(f"batches: no batch {given['batch'][:200]!r}")
            return COULD_NOT_START
        if given["action"] == "show":
            self._show(batch, as_json=given["json"])
            return DONE
        if given["action"] == "watch":
            return self._watch(batch.batch_id, as_json=given["json"])
        if given["action"] == "budget" and given["tokens"] is None and given["model_seconds"] is None:
            self.stderr.write("batches: name a budget: --tokens or --model-seconds")
            return COULD_NOT_START
        return self._change(batch.batch_id, batch.name, given)

    def _show(self, batch: Any, *, as_json: bool) -> None:
        from derive.batches.document import as_document
        from derive.batches.reading import read_figures

        document = as_document(read_figures(batch))
        if as_json:
            self.stdout.write(_json(document))
            return
        from derive.management.batch_tables import show_batch

        show_batch(document)

    def _watch(self, batch_id: UUID, *, as_json: bool) -> int:
        from derive.management.batch_watching import line_of, watched

        try:
            for document in watched(batch_id):
                self.stdout.write(_json(document) if as_json else line_of(document))
                self.stdout.flush()
        except KeyboardInterrupt:
            pass
        return DONE

    def _change(self, batch_id: UUID, name: str, given: dict[str, Any]) -> int:
        from derive.batches import acting
        from derive.queue import JobQueue

        queue = JobQueue()
        who = {"actor": given["actor"] or getuser(), "reason": given["reason"]}
        change, changes = None, None
        match given["action"]:
            case "cancel":
                change, changes = acting.cancel_batch(queue, batch_id, **who)
            case "retry":
                changes = acting.retry_batch(queue, batch_id, **who)
            case "priority":
                changes = acting.reprioritize_batch(queue, batch_id, priority=given["priority"], **who)
            case "budget":
                budgets = {"budget_tokens": given["tokens"], "budget_model_seconds": given["model_seconds"]}
                change = queue.set_batch_budget(batch_id, **budgets, **who)
            case action:
                change = getattr(queue, f"{action}_batch")(batch_id, **who)
        return self._tell(batch_id, name, given, change, changes)

    def _tell(
        self, batch_id: UUID, name: str, given: dict[str, Any], change: "BatchChange | None", changes: "Changes | None"
    ) -> int:
        document: dict[str, Any] = {"batch_id": batch_id, "action": given["action"]}
        words = f"{name}: {given['action']}"
        if change is not None:
            document |= {"changed_batch": change.changed, "why": change.why}
            words += "" if change.changed else f" (unchanged: {change.why})"
        if changes is not None:
            refused = [{"why": why, "jobs": jobs} for why, jobs in changes.refused.most_common()]
            document |= {"matched": changes.matched, "changed": changes.changed, "refused": refused}
            words += f", {changes.changed:,} of {changes.matched:,} jobs changed"
            words += "".join(f"; {jobs:,} not: {why}" for why, jobs in changes.refused.most_common(5))
        self.stdout.write(_json(document) if given["json"] else words)
        if changes is None:
            return DONE if change is not None and change.changed else SOME_REFUSED
        return SOME_REFUSED if changes.refused else DONE


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_as_json)


def _as_json(value: datetime | UUID) -> str:
    return str(value) if isinstance(value, UUID) else value.astimezone(UTC).isoformat().replace("+00:00", "Z")
