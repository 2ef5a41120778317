"""``manage.py sources``: the declared sources, what is in them, and the first subjects as a model will see them."""

import json
import sys
from argparse import SUPPRESS, ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.conf import settings

from derive.errors import HolocronError, SourceError
from derive.management.quick_command import QuickCommand

DONE, SOME_FAULTY, COULD_NOT_START = 0, 1, 2
_EXAMPLES = """
examples:
  manage.py sources                          the sources that HOLOCRON_SOURCES declares, and what is wrong with which
  manage.py sources preview contracts        the first ten subjects, with their evidence bounded and redacted
  manage.py sources count contracts --json   how many subjects it has, and why which cannot be read

Nothing is queued or written; sources are only read.
exit codes: of list 0, or 1 if a source is declared wrongly; of preview and count 0, or 1 if something could not be
read; 2 error
"""


class Command(QuickCommand):
    """List sources, or look into one."""

    help = "Lists the sources of subjects; counts and previews what is in one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the actions and their options."""
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = _EXAMPLES
        parser.add_argument("--json", action="store_true", help="print one line of JSON")
        actions = parser.add_subparsers(dest="action", metavar="list | preview | count")
        for action, help_text in (
            ("list", "list the declared sources"),
            ("preview", "show the first subjects and their evidence"),
            ("count", "count the subjects, and what cannot be read"),
        ):
            one = actions.add_parser(action, help=help_text, description=f"{help_text[0].upper()}{help_text[1:]}.")
            one.add_argument("--json", action="store_true", default=SUPPRESS, help="print one line of JSON")
            if action != "list":
                one.add_argument("name", metavar="NAME", help="the source's name")
            if action == "preview":
                one.add_argument(
                    "--interrogation",
                    metavar="KEY",
                    help="cut the evidence to this interrogation's bounds (default: 8 KiB an item, 20 KiB in total)",
                )

    def handle(self, *_args: Any, **given: Any) -> None:
        """List or look, and exit with the code."""
        from derive.sources.registry import load_sources

        try:
            registry = load_sources()
            if given["action"] == "preview":
                code = self._preview(
                    registry.get(given["name"]), interrogation_key=given["interrogation"], as_json=given["json"]
                )
            elif given["action"] == "count":
                code = self._count(registry.get(given["name"]), as_json=given["json"])
            else:
                code = self._list(registry, as_json=given["json"])
        except SourceError as error:
            self.stderr.write(f"sources: {given['name']}: {error}")
            sys.exit(COULD_NOT_START)
        except HolocronError as error:
            self.stderr.write(f"sources: {error}")
            sys.exit(COULD_NOT_START)
        sys.exit(code)

    def _list(self, registry: Any, *, as_json: bool) -> int:
        rows = [{"name": one.name, "kind": one.kind, "broken": None} for one in registry.all()]
        rows += [{"name": name, "kind": None, "broken": why} for name, why in registry.broken.items()]
        if as_json:
            self.stdout.write(json.dumps(rows, ensure_ascii=False))
        elif not rows:
            self.stdout.write("no sources: declare some in a file and name it by HOLOCRON_SOURCES (docs/sources.md)")
        for row in [] if as_json else rows:
            self.stdout.write(_shown(f"{row['name']}  {row['kind'] or 'broken: ' + str(row['broken'])}"))
        return SOME_FAULTY if registry.broken else DONE

    def _count(self, source: Any, *, as_json: bool) -> int:
        from dataclasses import asdict

        from derive.sources.previewing import count_source

        count = count_source(source)
        if as_json:
            self.stdout.write(
                json.dumps({"name": source.name, "kind": source.kind} | asdict(count), ensure_ascii=False)
            )
        else:
            self.stdout.write(
                f"{count.subjects:,} subjects ({count.without_token:,} without a change token), "
                f"{count.skipped:,} skipped by rules, {count.unreadable:,} unreadable"
            )
            for reason, number in count.reasons.items():
                self.stdout.write(_shown(f"  {number:,} × {reason}"))
        return SOME_FAULTY if count.unreadable else DONE

    def _preview(self, source: Any, *, interrogation_key: str | None, as_json: bool) -> int:
        from derive.evidence.redaction_file import read_redactor
        from derive.sources.previewing import preview_source

        preview = preview_source(
            source,
            bounds=_bounds_of(interrogation_key),
            redactor=read_redactor(settings.REDACTION_FILE),
            delimiter_key=settings.DELIMITER_KEY,
        )
        shown = {
            "name": source.name,
            "kind": source.kind,
            "is_whole": preview.is_whole,
            "subjects": [
                {
                    **_subject(one.subject),
                    "interrogation_key": one.interrogation_key,
                    "rule": one.rule,
                    **one.bundle.model_dump(mode="json", include={"items", "cuts", "redactions", "extractions"}),
                }
                for one in preview.subjects
            ],
            "skipped": [{**_subject(one.subject), "rule": one.rule, "reason": one.reason} for one in preview.skipped],
            "unreadable": [{"address": one.address, "reason": one.reason} for one in preview.unreadable],
        }
        if as_json:
            self.stdout.write(json.dumps(shown, ensure_ascii=False))
        else:
            self._write_preview(shown)
        return SOME_FAULTY if preview.unreadable else DONE

    def _write_preview(self, shown: dict[str, Any]) -> None:
        for subject in shown["subjects"]:
            routed = f"  → {subject['interrogation_key']} ({subject['rule']})" if subject["rule"] else ""
            self.stdout.write(_shown(f"{subject['entity_type']} {subject['entity_id']}{routed}"))
            for item in subject["items"]:
                self.stdout.write(_shown(f"  {item['evidence_id']} · {item['source_uri'] or ''}"))
                for line in item["text"][:_SHOWN_CHARACTERS].splitlines()[:_SHOWN_LINES]:
                    self.stdout.write(_shown(f"    {line}"))
            for cut in subject["cuts"]:
                self.stdout.write(_shown(f"  cut: {cut['evidence_id']}, {cut['dropped_bytes']:,} bytes ({cut['why']})"))
        for skipped in shown["skipped"]:
            self.stdout.write(_shown(f"skipped: {skipped['entity_id']}: {skipped['reason']} ({skipped['rule']})"))
        for unreadable in shown["unreadable"]:
            self.stdout.write(_shown(f"unreadable: {unreadable['address']}: {unreadable['reason']}"))
        if shown["is_whole"]:
            self.stdout.write("That is all of it.")


_SHOWN_CHARACTERS = 2_000
_SHOWN_LINES = 12


def _bounds_of(interrogation_key: str | None) -> Any:
    from derive.contracts import Bounds
    from derive.interrogations.registry import Registry

    if interrogation_key is None:
        return Bounds()
    return Registry.load(settings.INTERROGATIONS_FOLDER).get(interrogation_key).bounds


def _subject(subject: Any) -> dict[str, Any]:
    names = ("entity_type", "entity_id", "change_token", "address")
    return {name: getattr(subject, name) for name in names}


def _shown(text: str) -> str:
    from derive.visible_text import visible

    return visible(text)
