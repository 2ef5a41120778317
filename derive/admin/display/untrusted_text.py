"""Untrusted text on the admin's pages: ``derive.visible_text``, and a block of it.

Escaping is the templates' work (or ``format_html``'s); nothing here marks a text as safe that came from outside.
"""

from django.utils.html import format_html
from django.utils.safestring import SafeString

from derive.visible_text import CELL_CHARACTERS, PAGE_CHARACTERS, cell, pretty, visible

__all__ = ["CELL_CHARACTERS", "block", "cell", "pretty", "visible"]


def block(text: str | None, limit: int = PAGE_CHARACTERS) -> SafeString:
    """Return a text, pretty if it is JSON, as an escaped block of a page."""
    if not text:
        return format_html("{}", "–")
    return format_html('<pre class="holocron-text" dir="ltr">{}</pre>', pretty(text, limit))
