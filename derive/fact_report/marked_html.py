"""Marked texts as HTML without scripts: facts link to their marks, and marks' numbers back to their facts."""

from collections.abc import Iterable

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from derive.fact_report.marking import Segment
from derive.states import FIRST_ADDED_FACT

MAX_NUMBERS = 5
"""Numbers shown where facts end at the same place; a thousand facts may have the same quote."""


def marked_paragraph(segments: Iterable[Segment], prefix: str = "") -> SafeString:
    """Return a paragraph of escaped text with a ``mark`` for each segment that belongs to facts.

    The place of fact 3 starts at ``id="{prefix}mark-3"``; its number, shown from 1, links to ``{prefix}fact-3``.
    Numbers are attributes displayed by the style: the paragraph's text is only the evidence.
    """
    pieces = ((_piece(segment, prefix),) for segment in segments)
    return format_html('<p class="fact-text" dir="ltr">{}</p>', format_html_join("", "{}", pieces))


def _piece(segment: Segment, prefix: str) -> str | SafeString:
    if segment.left_out:
        return format_html('<span class="fact-gap">… {} characters left out …</span>', f"{segment.left_out:,}")
    if not segment.facts:
        return segment.text
    anchors = format_html_join("", '<span id="{}mark-{}"></span>', ((prefix, fact) for fact in segment.begins))
    links = format_html_join(
        "",
        '<a class="fact-number" href="#{}fact-{}" aria-label="fact {}" data-number="{}"></a>',
        ((prefix, fact, *[_rank(fact)] * 2) for fact in segment.ends[:MAX_NUMBERS]),
    )
    more = len(segment.ends) - MAX_NUMBERS
    return format_html(
        '<mark class="{}" data-facts="{}">{}{}{}{}</mark>',
        _classes(segment),
        segment.numbers,
        anchors,
        segment.text,
        links,
        format_html('<span class="fact-number" data-number="+{}"></span>', more) if more > 0 else "",
    )


def _classes(segment: Segment) -> str:
    """Return the CSS class of the worst verdict, which colours a mark, and one class per verdict."""
    verdicts = [verdict.lower() for verdict in segment.verdicts] or ["unjudged"]
    return " ".join([f"is-{verdicts[0]}", *(f"has-{verdict}" for verdict in verdicts)])


def _rank(fact: int) -> str:
    return "+" if fact >= FIRST_ADDED_FACT else str(fact + 1)
