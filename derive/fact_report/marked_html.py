"""Marked texts as HTML that needs no script: a fact leads to its mark, and a mark's number back to its fact."""

from collections.abc import Iterable

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from derive.fact_report.marking import Segment

MAX_NUMBERS = 5
"""Of facts that end at one place; a thousand facts may have one proof."""


def marked_paragraph(segments: Iterable[Segment], prefix: str = "") -> SafeString:
    """Return a paragraph of escaped text with a ``mark`` for each segment that belongs to facts.

    Where the place of fact 3 begins is ``id="{prefix}mark-3"``; its number, shown from 1, leads to ``{prefix}fact-3``.
    Numbers are attributes, which the style shows: what the paragraph says is the evidence and nothing else.
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
        ((prefix, fact, fact + 1, fact + 1) for fact in segment.ends[:MAX_NUMBERS]),
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
    """Return the class of the worst verdict, by which a mark is coloured, and one for each that it has."""
    verdicts = [verdict.lower() for verdict in segment.verdicts] or ["unjudged"]
    return " ".join([f"is-{verdicts[0]}", *(f"has-{verdict}" for verdict in verdicts)])
