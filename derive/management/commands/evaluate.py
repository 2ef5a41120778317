"""``manage.py evaluate``: asks variants of a question about a golden set, and compares them with the live version."""

import json
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, RawDescriptionHelpFormatter
from getpass import getuser
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings
from django.db import connection

from derive.errors import HolocronError
from derive.management.quick_command import QuickCommand
from derive.sql.scripts import check_schema

if TYPE_CHECKING:
    from derive.models import Experiment

PASSED, FAILED, COULD_NOT_START, INTERRUPTED = 0, 1, 2, 130
POLL_SECONDS = 1.0
_EXAMPLES = """
examples:
  manage.py evaluate heights --variant sw_entity_facts_v1@1.1.0 --gate "f1>=live"
  manage.py evaluate heights --variant k@2.0.0/llama3.1:8b --variant "k@2.0.0?temperature=0.7" --repeat 3
  manage.py evaluate heights --variant k@2.0.0 --no-wait      queue it, and print its id
  manage.py evaluate --resume ID                              go on after an interruption, and wait
  manage.py evaluate --show ID                                the result so far

A variant is KEY@VERSION[/MODEL][?temperature=…&seed=…&num_ctx=…&num_predict=…]. The live version is always asked too.
The jobs have a low priority, and workers have to run. Gates: f1, precision, recall, refusals, tokens, seconds or
f1[KEY], then >=, >, <= or <, then a number, live or live-0.02. docs/experiments.md says how they judge.
exit codes: 0 every gate passed (or none was given), 1 a gate failed, 2 could not start, 130 stopped by Ctrl-C
"""


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise ArgumentTypeError(f"{text[:40]!r} is not a whole number from 1 to 100")
    return int(text)


def _priority(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**31:
        raise ArgumentTypeError(f"{text[:40]!r} is not a whole number from 0")
    return int(text)


class Command(QuickCommand):
    """Run, resume or show an experiment."""

    help = "Asks variants of a question about a golden set, scores the answers and compares them with the live version."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = _EXAMPLES
        parser.add_argument("set_name", nargs="?", metavar="SET", help="the golden set")
        parser.add_argument("--variant", action="append", default=[], metavar="KEY@VERSION", help="may be repeated")
        parser.add_argument("--repeat", type=_count, default=1, metavar="N", help="ask so often (default: 1)")
        parser.add_argument("--gate", action="append", default=[], metavar="EXPR", help="may be repeated")
        parser.add_argument(
            "--priority", type=_priority, default=10, metavar="N", help="of the jobs; higher runs first (default: 10)"
        )
        parser.add_argument("--no-wait", action="store_true", help="queue the jobs and end")
        known = parser.add_mutually_exclusive_group()
        known.add_argument("--resume", type=UUID, metavar="ID", help="queue what is missing of an experiment, and wait")
        known.add_argument("--show", type=UUID, metavar="ID", help="print the result so far")
        parser.add_argument("--reason", default=None, help="saved with the experiment")
        parser.add_argument("--actor", default=None, help="name recorded as doing it (default: this OS user)")
        parser.add_argument("--json", action="store_true", help="print one line of JSON at the end")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Act, and exit with the code."""
        try:
            check_schema(connection)
            code = self._run(given)
        except HolocronError as error:
            self.stderr.write(f"evaluate: {error}")
            code = COULD_NOT_START
        sys.exit(code)

    def _run(self, given: dict[str, Any]) -> int:
        from derive.experiments.opening import find_experiment, open_experiment, plan_experiment, queue_jobs
        from derive.experiments.refused import ExperimentRefused
        from derive.live_versions import load_live

        actor = given["actor"] or getuser()
        if given["show"] is not None:
            return self._tell(find_experiment(given["show"]), given)
        if given["resume"] is not None:
            experiment = find_experiment(given["resume"])
        elif given["set_name"] is None:
            raise ExperimentRefused("name a golden set, or an experiment by --resume or --show")
        else:
            plan = plan_experiment(
                given["set_name"],
                given["variant"],
                gates=given["gate"],
                repeats=given["repeat"],
                registry=load_live(settings.INTERROGATIONS_FOLDER),
            )
            experiment = open_experiment(plan, actor=actor, reason=given["reason"])
        self.stderr.write(f"experiment {experiment.experiment_id}")
        try:
            if experiment.scored_utc is None:
                queue_jobs(experiment, actor=actor, priority=given["priority"])
            if given["no_wait"]:
                return self._told_id(experiment, given)
            self._wait(experiment)
        except KeyboardInterrupt:
            self.stderr.write(f"Its jobs go on. To wait again: manage.py evaluate --resume {experiment.experiment_id}")
            return INTERRUPTED
        return self._tell(find_experiment(experiment.experiment_id), given)

    def _told_id(self, experiment: "Experiment", given: dict[str, Any]) -> int:
        line = json.dumps({"experiment": str(experiment.experiment_id), "state": "running"})
        self.stdout.write(line if given["json"] else str(experiment.experiment_id))
        return PASSED

    def _wait(self, experiment: "Experiment") -> None:
        """Wait until every job has ended, and show how many have."""
        from derive.experiments.progress import progress_of
        from derive.management.experiment_tables import ProgressLine

        with ProgressLine() as line:
            while True:
                progress = progress_of(experiment)
                line.show(progress)
                if progress.is_done:
                    return
                time.sleep(POLL_SECONDS)

    def _tell(self, experiment: "Experiment", given: dict[str, Any]) -> int:
        from derive.experiments.result import result_of

        result = result_of(experiment)
        if given["json"]:
            self.stdout.write(json.dumps(result, ensure_ascii=False))
        else:
            from derive.management.experiment_tables import show_result  # it draws with rich

            show_result(result)
        return PASSED if result["passed"] else FAILED
