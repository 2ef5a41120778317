"""A window: a stretch of one evidence item, and what a reader should know about its place."""

from typing import Annotated

from pydantic import Field

from derive.strict_types import Frozen

CONTEXT_NOTE = "where the next item stands in its document (context, not evidence: never quote or cite it)"
"""The line that introduces a header in a prompt."""


class WindowHeader(Frozen):
    """Where a window is in its text. It is shown to the model as context, and is not evidence.

    ``section`` are the headings it stands under, outermost first; ``columns`` is the first row of the table that it
    continues; ``before`` is the end of the text before it, a sentence if possible.
    """

    title: str = ""
    section: tuple[str, ...] = ()
    columns: str = ""
    before: str = ""

    def in_words(self) -> str:
        """Return the lines shown to the model; empty if nothing is known."""
        named = {
            "title": self.title,
            "section": " > ".join(self.section),
            "columns of the table": self.columns,
            "just before": self.before,
        }
        return "\n".join(f"{name}: {words}" for name, words in named.items() if words)


class Window(Frozen):
    """The stretch ``start`` to ``end`` (exclusive) of an evidence item's stored text, in code points.

    ``part_no`` numbers parts from 1. Short items share a part, so consecutive windows may have the same number.
    """

    part_no: Annotated[int, Field(ge=1)]
    evidence_id: str
    start: Annotated[int, Field(ge=0)]
    end: Annotated[int, Field(ge=0)]
    header: WindowHeader = WindowHeader()

    def text_in(self, item_text: str) -> str:
        """Return the window's text, given that of its item."""
        return item_text[self.start : self.end]
