"""The parts of ``docs/reference.md``, each from what the code itself goes by."""

import re
from argparse import SUPPRESS, ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from django.apps import apps
from django.core import management
from django.core.management import find_commands, get_commands, load_command_class
from django.core.management.base import BaseCommand, DjangoHelpFormatter
from django.db.models import Field

from derive.errors import ErrorKind, RunError
from derive.export.columns import COLUMNS
from derive.sql import procedures
from derive.sql.scripts import PROCEDURES, read_scripts
from derive.sql.tables import SCHEMA, Engine
from derive.states import LEGAL_MOVES, JobEventName, JobStatus, RunStatus
from holocron.environment import VARIABLES
from tests.reference import metrics
from tests.unit.sql_parity.shapes import REQUIRED, Catalogue

HEAD = """# Reference

Made from the code and from a migrated database: `make docs` writes it anew, and a test fails while it is stale.
"""


def reference(catalogue: Catalogue, views: dict[str, list[str]]) -> str:
    """Return the whole page."""
    parts: list[Iterable[str]] = [
        [HEAD],
        commands(),
        settings(),
        states(),
        error_kinds(),
        tables(catalogue),
        view_columns(views),
        stored_procedures(catalogue),
        metric_list(),
    ]
    return "\n".join(line for part in parts for line in part).rstrip() + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield a table's lines and an empty one."""
    yield "| " + " | ".join(head) + " |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in row) + " |"
    yield ""


def commands() -> Iterator[str]:
    """Yield each command of ours with its own options."""
    yield "## Commands\n"
    known = {action.dest for action in BaseCommand().create_parser("", "")._actions}
    djangos = find_commands(management.__path__[0])
    # Also not Django's own migrate, which only waits its turn here.
    for name in sorted(name for name, app in get_commands().items() if app == "derive" and name not in djangos):
        command = load_command_class("derive", name)
        parser: ArgumentParser = command.create_parser("manage.py", name)
        yield f"### `manage.py {name}`\n"
        yield " ".join(command.help.split()) + "\n"
        shown = DjangoHelpFormatter("")
        rows = []
        for action in parser._actions:
            if action.dest in known or action.help == SUPPRESS:
                continue
            words = ", ".join(action.option_strings) or str(action.metavar)
            value = f" {shown._format_args(action, action.dest.upper())}" if action.nargs != 0 else ""
            says = shown._expand_help(action) if action.help else ""
            rows.append((f"`{words}{value if action.option_strings else ''}`", says))
        if rows:
            yield from table(("option", ""), rows)
        if parser.epilog:
            yield f"```text\n{parser.epilog.strip()}\n```\n"


def settings() -> Iterator[str]:
    """Yield the environment's variables."""
    yield "## Settings\n"
    rows = [(f"`{one.name}`", f"`{one.default}`" if one.default else "", one.meaning) for one in VARIABLES]
    yield from table(("variable", "default", ""), rows)


def states() -> Iterator[str]:
    """Yield the states, the moves between them, and the events that tell of moves."""
    yield "## States and moves\n"
    rows = [
        (
            f"`{begin}`" if begin else "(not queued)",
            ", ".join(f"`{status}`" for status in JobStatus if status in ends) or "none: it stays",
        )
        for begin, ends in LEGAL_MOVES.items()
    ]
    yield from table(("a job that is", "may become"), rows)
    yield f"A run is one of {', '.join(f'`{status}`' for status in RunStatus)}.\n"
    yield f"Events of `llm.job_event`: {', '.join(f'`{event}`' for event in JobEventName)}.\n"


def error_kinds() -> Iterator[str]:
    """Yield why a run ends without a valid answer, and what then becomes of its job."""
    yield "## Error kinds\n"
    by_kind = {error.kind: error for error in RunError.__subclasses__()}
    rows = []
    for kind in ErrorKind:
        error = by_kind.get(kind)
        if error is None:
            says = "a reaper ended the run: its worker was silent for longer than its lease"
            rows.append((f"`{kind}`", says, "", "yes"))
            continue
        says = (error.__doc__ or "").partition("\n")[0].rstrip(".")
        rows.append((f"`{kind}`", says, error.then.value.replace("_", " "), "yes" if error.counted else "no"))
    yield from table(("kind", "", "then", "counts as an attempt"), rows)


def tables(catalogue: Catalogue) -> Iterator[str]:
    """Yield every table's columns."""
    yield f"## Tables of the schema `{SCHEMA}`\n"
    yield "`guid` is `uniqueidentifier` or `uuid`, `utc` `datetime2(6)` or `timestamptz`, `bool` `bit` or `boolean`,"
    yield "`text(n)` `nvarchar(n)` or `varchar(n)`. Only the procedures write here.\n"
    meanings = _meanings()
    for name in sorted(catalogue.tables):
        yield f"### `{SCHEMA}.{name}`\n"
        rows = [
            (
                f"`{column.name}`",
                column.type,
                "" if column.is_nullable else "not null",
                "identity" if column.is_identity else f"`{column.default}`" if column.default else "",
                meanings.get((name, column.name), ""),
            )
            for column in catalogue.tables[name].columns
        ]
        yield from table(("column", "type", "null", "default", ""), rows)


def view_columns(views: dict[str, list[str]]) -> Iterator[str]:
    """Yield every view's columns; those of an export's rows and of tables bear the same meaning here."""
    yield "## Views\n"
    meanings = {name: says for (_table, name), says in sorted(_meanings().items(), reverse=True)}
    meanings |= {column.name: column.meaning for columns in COLUMNS.values() for column in columns}
    for one in ("total", "load", "prompt_eval", "eval"):
        meanings[f"{one}_duration_ns"] = f"Ollama's {one}_duration, nanoseconds; null where there is no whole number"
    for name, columns in sorted(views.items()):
        yield f"### `{SCHEMA}.{name}`\n"
        yield from table(("column", ""), [(f"`{column}`", meanings.get(column, "")) for column in columns])


def stored_procedures(catalogue: Catalogue) -> Iterator[str]:
    """Yield every procedure's parameters, results and errors."""
    yield "## Procedures\n"
    promises = {Path(script.name).stem: _promise(script.text) for script in read_scripts(Engine.POSTGRESQL, PROCEDURES)}
    results = {one.name: one.columns for one in vars(procedures).values() if isinstance(one, procedures.Procedure)}
    for name, procedure in sorted(catalogue.procedures.items()):
        yield f"### `{SCHEMA}.{name}`\n"
        yield promises[name] + "\n"
        rows = [
            (f"`{one.name}`", one.type, "required" if one.default == REQUIRED else f"`{one.default}`")
            for one in procedure.parameters
        ]
        yield from table(("parameter", "type", "default"), rows)
        yield f"Answers {', '.join(f'`{column}`' for column in results.get(name, procedure.result_columns))}."
        yield f"For {', '.join(f'`{role}`' for role in sorted(procedure.granted))}."
        errors = ", ".join(f"51{number:03}/HC{number:03}" for number in sorted(procedure.error_numbers))
        yield f"Refuses with {errors}.\n" if errors else ""


def metric_list() -> Iterator[str]:
    """Yield every metric by whom it is served."""
    yield "## Metrics\n"
    for title, listed in (
        ("the web server's `/metrics`", metrics.of_the_queue()),
        ("a worker's `--metrics-port`", metrics.of_a_worker()),
    ):
        yield f"### {title[0].upper()}{title[1:]}\n"
        rows = [
            (
                f"`{metric.name}{'_total' if metric.type == 'counter' else ''}`",
                metric.type,
                ", ".join(f"`{label}`" for label in metrics.labels_of(metric)),
                metric.documentation,
            )
            for metric in listed
        ]
        yield from table(("metric", "type", "labels", ""), rows)


def _meanings() -> dict[tuple[str, str], str]:
    """Return what the models say of their columns, by table and column."""
    found = {}
    for model in apps.get_app_config("derive").get_models():
        name = model._meta.db_table.replace('"', "").replace("[", "").replace("]", "").partition(".")[2]
        for field in model._meta.concrete_fields:
            assert isinstance(field, Field)
            words = [str(field.verbose_name), *([str(field.help_text)] if field.help_text else [])]
            found[name, str(field.column)] = ": ".join(words).rstrip(".")
    return found


def _promise(script: str) -> str:
    """Return what a script's first sentence says it does."""
    lines = []
    for line in script.splitlines():
        if not line.startswith("--") or line.startswith("-- Promises:"):
            break
        lines.append(line.removeprefix("--").strip())
    text = re.sub(r"^llm\.usp_\w+: *", "", " ".join(lines))
    return text[:1].upper() + text[1:]
