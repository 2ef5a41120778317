"""The report as one HTML file: no script, no external resources, every text escaped; written run by run."""

import base64
import hashlib
import secrets
import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, BinaryIO

from django.template.loader import render_to_string
from django.utils.safestring import mark_safe

from derive.fact_report.marked_html import marked_paragraph
from derive.fact_report.shown import VERDICTS, MarkedFacts
from derive.visible_text import cell

MAX_CONTENTS = 500
"""Runs listed in a table of contents; a report of more has none."""
_STYLE = Path(__file__).with_name("report.css").read_text("utf-8")
_TITLE_CHARACTERS = 200


@dataclass(frozen=True)
class RunSection:
    """A run in the report; texts as stored. ``fault``: why its evidence is not shown.

    ``unread`` says what of long evidence was not read; empty if all was.
    """

    heading: str
    interrogation: str
    lineage: tuple[tuple[str, str], ...]
    marked: MarkedFacts
    facts_left_out: int = 0
    fault: str = ""
    unread: str = ""


class ReportDocument:
    """A report in progress: its runs are in an unnamed file until ``write_to`` knows the totals."""

    def __init__(self, title: str) -> None:
        self._title = cell(title, _TITLE_CHARACTERS)
        self._runs: IO[bytes] = TemporaryFile()  # noqa: SIM115 (closed by __exit__)
        self._counts: Counter[str] = Counter()
        self._contents: list[tuple[str, str, int]] = []
        self.run_count = 0
        self.fact_count = 0

    def __enter__(self) -> "ReportDocument":
        return self

    def __exit__(self, *_raised: object) -> None:
        self._runs.close()

    def add(self, run: RunSection) -> None:
        """Append a run."""
        self.run_count += 1
        self.fact_count += len(run.marked.facts)
        anchor = f"run-{self.run_count}"
        heading = cell(run.heading, _TITLE_CHARACTERS)
        for fact in run.marked.facts:
            self._counts.update(fact.classes.split())
        if len(self._contents) <= MAX_CONTENTS:
            self._contents.append((anchor, heading, len(run.marked.facts)))
        context = {
            "anchor": anchor,
            "heading": heading,
            "interrogation": cell(run.interrogation, _TITLE_CHARACTERS),
            "lineage": [(name, cell(words, _TITLE_CHARACTERS)) for name, words in run.lineage if words],
            "marked": run.marked,
            "items": [(item, marked_paragraph(item.segments, f"{anchor}-")) for item in run.marked.items],
            "facts_left_out": run.facts_left_out,
            "fault": cell(run.fault, 500),
            "unread": cell(run.unread, 1_000),
        }
        self._runs.write(render_to_string("report/run.html", context).encode())

    def write_to(self, sink: BinaryIO, *, made_utc: datetime) -> None:
        """Write the whole file."""
        # Random, so that no text in the report can be mistaken for the placeholder.
        place = secrets.token_hex(16)
        words = {"all": "All", **{verdict.lower(): words for verdict, words in VERDICTS.items()}}
        words |= {"conflict": "In conflict", "review": "To review", "admitted": "Admitted"}
        counts = {"all": self.fact_count, **{name.removeprefix("is-"): n for name, n in self._counts.items()}}
        context = {
            "policy": _policy(),
            "title": self._title,
            "style": mark_safe(_STYLE),  # noqa: S308 (a file of the tree)
            "facts": self.fact_count,
            "runs": self.run_count,
            "made_utc": made_utc,
            "filters": [(name, text, f"{counts.get(name, 0):,}") for name, text in words.items()],
            "contents": self._contents if 1 < len(self._contents) <= MAX_CONTENTS else [],
            "runs_stand_here": place,
        }
        head, _place, tail = render_to_string("report/document.html", context).partition(place)
        sink.write(head.encode())
        self._runs.seek(0)
        shutil.copyfileobj(self._runs, sink)
        sink.write(tail.encode())


def _policy() -> str:
    """Return a content security policy that allows only the report's own styles."""
    style = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
