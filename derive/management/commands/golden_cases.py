"""``manage.py golden_cases``: imports, exports and lists questions with the facts of a right answer."""

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from getpass import getuser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection

from derive.errors import HolocronError
from derive.management.quick_command import QuickCommand
from derive.sql.scripts import check_schema

DONE, REFUSED, COULD_NOT_START = 0, 1, 2
_MAX_SHOWN = 100
_EXAMPLES = """
examples:
  manage.py golden_cases list                              the sets, with the number of their cases
  manage.py golden_cases export heights > heights.jsonl    one case a line
  manage.py golden_cases import heights.jsonl              all lines, or none if one is bad
  manage.py golden_cases import cases.jsonl --set heights  for lines that name no set
  manage.py golden_cases import heights.jsonl --replace    also cases that are there already

Every line is checked before anything is saved: unknown members, cases given twice, input that the interrogation does
not take, quotes that are not in the evidence. docs/golden-sets.md describes the lines.
exit codes: 0 done, 1 a line is bad or a case is there already (nothing was saved), 2 could not start
"""


class Command(QuickCommand):
    """Import, export or list golden cases."""

    help = "Imports, exports and lists golden cases: questions with the facts of a right answer."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the actions and their options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = _EXAMPLES
        actions = parser.add_subparsers(dest="action", required=True, metavar="import | export | list")
        one = actions.add_parser("import", help="save the cases of a JSONL file", description="Save cases from a file.")
        one.add_argument("file", metavar="FILE", help="the file, or - for standard input")
        one.add_argument("--set", dest="set_name", metavar="NAME", help="the set of lines that name none")
        one.add_argument("--replace", action="store_true", help="replace cases that are there already")
        one.add_argument("--dry-run", action="store_true", help="check only, save nothing")
        one.add_argument("--actor", default=None, help="name recorded as doing it (default: this OS user)")
        one.add_argument("--json", action="store_true", help="print one line of JSON")
        one = actions.add_parser("export", help="print cases as JSONL", description="Print cases, one a line.")
        one.add_argument("set_name", nargs="?", metavar="SET", help="default: all sets")
        one = actions.add_parser("list", help="list the sets", description="List the sets.")
        one.add_argument("--json", action="store_true", help="print one line of JSON")

    def handle(self, *_args: Any, **given: Any) -> None:
        """Act, and exit with the code."""
        act = {"import": self._import, "export": self._export, "list": self._list}[given["action"]]
        try:
            check_schema(connection)
            code = act(given)
        except HolocronError as error:
            self.stderr.write(f"golden_cases: {error}")
            code = COULD_NOT_START
        sys.exit(code)

    def _import(self, given: dict[str, Any]) -> int:
        from derive.golden.checking import check_lines
        from derive.golden_contracts import NOT_SAVED
        from derive.interrogations.registry import Registry
        from derive.queue import JobQueue

        try:
            text = sys.stdin.buffer.read() if given["file"] == "-" else Path(given["file"]).read_bytes()
            lines = text.decode("utf-8-sig").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else f"not UTF-8 at byte {error.start}"
            self.stderr.write(f"golden_cases: {given['file']}: {why}")
            return COULD_NOT_START
        checked = check_lines(lines, Registry.load(settings.INTERROGATIONS_FOLDER), set_name=given["set_name"])
        bad = list(checked.bad_lines)
        outcomes = []
        if not bad and checked.cases and not given["dry_run"]:
            outcomes = JobQueue().save_golden_cases(
                checked.cases, actor=given["actor"] or getuser(), replaces=given["replace"]
            )
            numbers = [number for number, line in enumerate(lines, start=1) if line.strip()]
            bad = [
                (numbers[n], f"the set {case.set_name!r} has another case {case.case_key!r}: use --replace")
                for n, (case, outcome) in enumerate(zip(checked.cases, outcomes, strict=True))
                if outcome in NOT_SAVED and outcome.value == "exists"
            ]
        counts = {name: sum(one.value == name for one in outcomes) for name in ("created", "replaced", "unchanged")}
        document = {"cases": len(checked.cases), **counts, "bad_lines": [{"line": n, "why": why} for n, why in bad]}
        if given["json"]:
            self.stdout.write(json.dumps(document, ensure_ascii=False))
        else:
            self._tell(document, bad, is_dry_run=given["dry_run"])
        return REFUSED if bad else DONE

    def _tell(self, document: dict[str, Any], bad: list[tuple[int, str]], *, is_dry_run: bool) -> None:
        for number, why in bad[:_MAX_SHOWN]:
            self.stderr.write(f"line {number}: {why}")
        if len(bad) > _MAX_SHOWN:
            self.stderr.write(f"and {len(bad) - _MAX_SHOWN} more lines")
        if bad:
            self.stderr.write("Nothing was saved.")
        elif is_dry_run:
            self.stdout.write(f"{document['cases']} cases are valid; nothing was saved.")
        else:
            told = (f"{document[name]} {name}" for name in ("created", "replaced", "unchanged"))
            self.stdout.write(f"{document['cases']} cases: {', '.join(told)}.")

    def _export(self, given: dict[str, Any]) -> int:
        from derive.golden.lines import line_of
        from derive.golden.reading import read_cases

        found = 0
        for case in read_cases(given["set_name"]):
            self.stdout.write(line_of(case))
            found += 1
        if given["set_name"] is not None and not found:
            self.stderr.write(f"golden_cases: there is no set {given['set_name']!r}")
            return REFUSED
        return DONE

    def _list(self, given: dict[str, Any]) -> int:
        from derive.golden.reading import list_sets

        sets = list_sets()
        if given["json"]:
            members = [
                {"set": one.name, "cases": one.cases, "interrogation": one.interrogation or None} for one in sets
            ]
            self.stdout.write(json.dumps(members, ensure_ascii=False))
        elif not sets:
            self.stdout.write("There are no golden sets. Import one, or make cases of reviewed answers.")
        for one in sets if not given["json"] else []:
            self.stdout.write(f"{one.name}  {one.cases} cases  {one.interrogation or 'several interrogations'}")
        return DONE
