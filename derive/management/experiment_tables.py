"""Shows experiments on a terminal: a line of progress, and the result as tables."""

import sys
from typing import Any, Self

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from derive.experiments.progress import Progress

_NAMED = 10
_COLUMNS = ("f1", "precision", "recall", "refusals", "tokens", "seconds")


class ProgressLine:
    """One line on standard error that follows the progress; on something else than a terminal, nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\n")

    def show(self, progress: Progress) -> None:
        """Write the line anew."""
        if sys.stderr.isatty():
            failed = f", {progress.failed} without an answer" if progress.failed else ""
            sys.stderr.write(f"\r{progress.ended:,} of {progress.jobs:,} jobs have ended{failed}  ")
            sys.stderr.flush()


def show_result(result: dict[str, Any]) -> None:
    """Print the variants' scores, what differs from live, and the gates."""
    console = Console()
    scored = f"{result['scored']} of {result['cases']} cases scored"
    console.print(f"Experiment {result['experiment']} on {escape(result['set'])}: {scored}")
    table = Table()
    table.add_column("variant")
    for name in _COLUMNS:
        table.add_column(name, justify="right")
    table.add_column("better / worse", justify="right")
    for variant in result["variants"]:
        against = variant["against_live"]
        table.add_row(
            escape(_name(variant)),
            *(_said(variant[name], name) for name in _COLUMNS),
            f"{against['better']} / {against['worse']}" if against else "",
        )
    console.print(table)
    for variant in result["variants"]:
        against = variant["against_live"]
        if against and against["worse_cases"]:
            named = ", ".join(one["case"] for one in against["worse_cases"][:_NAMED])
            console.print(f"{escape(_name(variant))} is worse in: {escape(named)}")
        if variant["stability"]:
            same = variant["stability"]["same_answers"]
            console.print(f"{escape(_name(variant))}: all repeats said the same in {100 * same:.0f} % of the cases")
    for gate in result["gates"]:
        verdict = "passed" if gate["passed"] else "FAILED"
        console.print(f"{verdict}: {escape(gate['gate'])} for {escape(gate['variant'])}. {escape(gate['why'])}")


def _name(variant: dict[str, Any]) -> str:
    return f"live ({variant['interrogation_key']}@{variant['version']})" if variant["is_live"] else str(variant["name"])


def _said(found: dict[str, float], name: str) -> str:
    if name == "tokens":
        return f"{found['value']:,.0f}"
    if name == "seconds":
        return f"{found['value']:,.1f}"
    return f"{100 * found['value']:.1f} % ({100 * found['low']:.1f}–{100 * found['high']:.1f})"
