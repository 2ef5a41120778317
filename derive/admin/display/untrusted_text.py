"""Untrusted text on admin pages: ``derive.visible_text`` as a block.

Templates and ``format_html`` escape it; nothing here marks outside text as safe.
"""

from django.utils.html import format_html
from django.utils.safestring import SafeString

from derive.visible_text import CELL_CHARACTERS, PAGE_CHARACTERS, cell, pretty, visible

__all__ = ["CELL_CHARACTERS", "block", "cell", "pretty", "visible"]


def block(text: str | None, limit: int = PAGE_CHARACTERS) -> SafeString:
    """Return text, pretty-printed if it is JSON, as an escaped block."""
    if not text:
        return format_html("{}", "–")
    return format_html('<pre class="holocron-text" dir="ltr" tabindex="0">{}</pre>', pretty(text, limit))
