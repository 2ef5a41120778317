"""What the templates say texts, times and states with; built in, since every page needs it."""

from datetime import datetime

from django import template
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from derive.admin import units
from derive.admin.texts import CELL_CHARACTERS, cell

register = template.Library()

register.filter("moment", units.moment)


@register.filter
def plain(value: object) -> str:
    """Return a stranger's short text on one line, with nothing in it that hides or reorders; none: a dash."""
    return cell(str(value), 4 * CELL_CHARACTERS) if value not in {None, ""} else "–"


@register.filter
def age(value: datetime | None) -> SafeString:
    """Return how long ago a moment was."""
    return units.age(value, timezone.now())


register.filter("ago", units.ago)


@register.filter
def from_top(percent: float) -> str:
    """Return a chart's height as SVG counts it, from the top."""
    return f"{100 - percent:g}"


@register.filter
def unsigned(value: int) -> str:
    """Return a number's size; its direction is told by a sign beside it."""
    return number(abs(value))


@register.filter
def rate(value: float) -> str:
    """Return how often something happens in as many digits as say something."""
    return f"{value:.2g}" if 0 < value < 10 else number(round(value))


@register.filter
def span(seconds: float | None) -> str:
    """Return seconds as people read them; nothing for nothing."""
    return "–" if seconds is None else units.duration(seconds)


@register.filter
def milliseconds(value: int | None) -> str:
    """Return milliseconds as people read them."""
    return "–" if value is None else units.duration(value / 1000)


@register.filter
def bytes_of(value: int | None) -> str:
    """Return a size as people read it."""
    return "–" if value is None else units.size(value)


@register.filter
def number(value: int | None) -> str:
    """Return a whole number with thin spaces between thousands."""
    return "–" if value is None else f"{value:,}".replace(",", "\u202f")


@register.filter
def state(value: str | None) -> SafeString:
    """Return a state as a badge: its word, and a colour that repeats it."""
    if not value:
        return format_html("{}", "–")
    return format_html('<span class="hc-state hc-state-{}">{}</span>', str(value).lower(), value)


@register.filter
def short(value: object) -> str:
    """Return the beginning of an id or hash; the whole stands in the link or title beside it."""
    return "–" if not value else str(value)[:8]
