"""``manage.py models``: the models that jobs wait for, with their limits and pauses."""

import json
import sys
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from datetime import UTC, datetime
from getpass import getuser
from typing import Any

from django.db import connection

from derive.errors import HolocronError
from derive.management.quick_command import QuickCommand
from derive.sql.scripts import check_schema

DONE, COULD_NOT_START = 0, 2
LIMITS = {
    "max_running": "most runs at a time, across all workers",
    "max_starts_per_minute": "most runs started per minute, across all workers",
    "num_ctx": "context window, in tokens",
    "num_predict": "longest answer, in tokens",
}
_EXAMPLES = """
examples:
  manage.py models                                                  the jobs waiting for each model
  manage.py models pause qwen2.5:14b --reason "GPU maintenance"     start no more runs; running ones finish
  manage.py models resume qwen2.5:14b
  manage.py models limit llama3.2 --max-running 2 --reason "one GPU"
  manage.py models limit llama3.2 --max-running none                remove this limit

Pauses and limits apply to all workers as soon as the command ends, and are recorded in llm.model_event. Give the
model's name as jobs give it; jobs that name no model count towards their worker's OLLAMA_MODEL.
exit codes: 0 done, 2 error
"""


def _limit(text: str) -> int | None:
    if text == "none":
        return None
    if not text.isdecimal() or not 1 <= int(text) < 2**31:
        raise ArgumentTypeError(f"{text[:40]!r} is not a whole number from 1, or none")
    return int(text)


def _name(text: str) -> str:
    name = text.strip()
    if not 1 <= len(name) <= 200:
        raise ArgumentTypeError("a model's name has 1 to 200 characters")
    return name


class Command(QuickCommand):
    """List models, or pause, resume or limit one."""

    help = "Lists the models that jobs wait for; pauses, resumes and limits them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the actions and their options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = _EXAMPLES
        parser.add_argument("--json", action="store_true", help="print one line of JSON")
        actions = parser.add_subparsers(dest="action", metavar="pause | resume | limit")
        for action, help_text in (
            ("pause", "start no more runs of a model"),
            ("resume", "start runs of a paused model again"),
            ("limit", "limit a model's runs, or set its context window"),
        ):
            one = actions.add_parser(action, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
            one.add_argument("model", type=_name, metavar="MODEL")
            one.add_argument("--reason", required=action == "pause", help="saved to the model's history")
            one.add_argument("--actor", default=None, help="name recorded as doing it (default: this OS user)")
            one.add_argument("--json", action="store_true", default=SUPPRESS, help="print one line of JSON")
            if action == "limit":
                for name, meaning in LIMITS.items():
                    flag = f"--{name.replace('_', '-')}"
                    one.add_argument(
                        flag, type=_limit, default=..., metavar="N", help=f"{meaning}; none removes the limit"
                    )

    def handle(self, *_args: Any, **given: Any) -> None:
        """List or change, and exit with the code."""
        try:
            check_schema(connection)
            if given["action"] is None:
                self._list(as_json=given["json"])
            else:
                self._change(given)
        except HolocronError as error:
            self.stderr.write(f"models: {error}")
            sys.exit(COULD_NOT_START)

    def _list(self, *, as_json: bool) -> None:
        from derive.inspection import list_models

        rows = list_models()
        if as_json:
            self.stdout.write(json.dumps(rows, ensure_ascii=False, default=_as_json))
            return
        from derive.management.job_tables import show_models  # it draws with rich

        show_models(rows)

    def _change(self, given: dict[str, Any]) -> None:
        from derive.contracts import ModelLimits
        from derive.queue.operator import OperatorQueue

        queue, model = OperatorQueue(), given["model"]
        who = {"actor": given["actor"] or getuser(), "reason": given["reason"]}
        if given["action"] == "pause":
            changed, said = queue.pause_model(model, **who), f"{model} is paused"
        elif given["action"] == "resume":
            changed, said = queue.resume_model(model, **who), f"{model} is not paused"
        else:
            limits = {name: given[name] for name in LIMITS if given[name] is not ...}
            if not limits:
                self.stderr.write("models: name a limit, such as --max-running 2")
                sys.exit(COULD_NOT_START)
            changed = queue.limit_model(model, ModelLimits(**limits), **who)
            said = f"{model}: " + ", ".join(f"{name} {value or 'none'}" for name, value in limits.items())
        if given["json"]:
            self.stdout.write(json.dumps({"model": model, "changed": changed}, ensure_ascii=False))
        else:
            self.stdout.write(said if changed else f"{said} already")


def _as_json(value: datetime) -> str:
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
