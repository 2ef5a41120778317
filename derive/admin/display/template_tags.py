"""Template filters and tags for texts, times and states; registered as built-ins, since every page needs them."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from django import template
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from derive.admin.display import units
from derive.admin.display.commands import pull_command
from derive.admin.display.fact_links import entity_address, fact_address
from derive.admin.display.untrusted_text import CELL_CHARACTERS, cell
from derive.admin.site import timezones
from derive.fact_report.marked_html import marked_paragraph
from derive.fact_report.shown import DECISIONS, REVIEWS, VERDICTS
from derive.states import STATE_NAMES, SubjectState, name_of_event

register = template.Library()

_STATES = {**{str(state): state.capitalize() for state in SubjectState}, **STATE_NAMES}
_MISSING = (None, "")
"""What a template passes to a filter when a value or its row is missing."""

register.filter("moment", units.moment)


@register.filter
def plain(value: object) -> str:
    """Return untrusted short text on one line, without characters that hide or reorder text; a dash if empty."""
    return cell(str(value), 4 * CELL_CHARACTERS) if value not in {None, ""} else "–"


@register.filter
def age(value: datetime | None) -> SafeString:
    """Return how long ago a time was."""
    return units.age(value, timezone.now())


register.filter("ago", units.ago)
register.filter("marked", marked_paragraph)
register.filter("fact_address", fact_address)
register.filter("pull_command", pull_command)


@register.inclusion_tag("admin/parts/when.html")
def when(*, name: str, label: str, value: str | None, typed_in: str = "", required: bool = False) -> dict[str, Any]:
    """Return an input for a time in the viewer's time zone, or in the one it was typed in before."""
    now = timezone.localtime(None, ZoneInfo(typed_in) if typed_in else None)
    return {
        "name": name,
        "label": label,
        "value": value or "",
        "required": required,
        "field": timezones.FIELD,
        "zone": typed_in or timezone.get_current_timezone_name(),
        # Naive, or the template would convert them all to the viewer's zone.
        "local": now.replace(tzinfo=None),
        "utc": now.astimezone(UTC).replace(tzinfo=None),
    }


@register.filter
def from_top(percent: float) -> str:
    """Convert a chart's height to SVG's coordinate, which counts from the top."""
    return f"{100 - percent:g}"


@register.filter
def unsigned(value: int) -> str:
    """Return a number without its sign, which an arrow beside it shows."""
    return number(abs(value))


register.filter("rate", units.rate)


@register.filter
def span(seconds: float | None) -> str:
    """Format seconds for people; empty for None."""
    return "–" if seconds is None else units.duration(seconds)


@register.filter
def milliseconds(value: Any) -> str:
    """Format milliseconds for people."""
    return "–" if value in _MISSING else units.duration(value / 1000)


@register.filter
def bytes_of(value: Any) -> str:
    """Format a size for people."""
    return "–" if value in _MISSING else units.size(value)


@register.filter
def number(value: Any) -> str:
    """Format a whole number with thin spaces between thousands."""
    return "–" if value in _MISSING else f"{value:,}".replace(",", "\u202f")


@register.filter
def state(value: str | None) -> SafeString:
    """Return a state as a badge: its name for people, and a colour that repeats it."""
    if not value:
        return format_html("{}", "–")
    return format_html('<span class="hc-state hc-state-{}">{}</span>', str(value).lower(), state_name(value))


@register.filter
def state_name(value: str) -> str:
    """Return what people call a state."""
    return _STATES.get(value, value)


@register.filter
def event_name(event: Any) -> str:
    """Return an event's name for people: a run's end by its outcome, any other as it is recorded."""
    return name_of_event(event.event, event.to_status)


@register.filter
def verdict(value: str) -> SafeString:
    """Return a verdict as a badge: its name, and a colour that repeats it."""
    return format_html('<b class="fact-verdict is-{}">{}</b>', value.lower(), VERDICTS.get(value, value))


@register.filter
def decision(value: str) -> str:
    """Return a reviewer's decision in words."""
    return DECISIONS.get(value, value)


@register.filter
def review(value: str) -> str:
    """Return the label of a review status; empty if no review is needed."""
    return REVIEWS.get(value, "")


@register.filter
def entity_link(row: Any) -> SafeString:
    """Return a link from a row that names an entity to the entity's facts; a dash if it names none."""
    if not row.entity_id:
        return format_html("{}", "–")
    return format_html(
        '<a class="hc-link" href="{}"><bdi>{}</bdi></a>',
        entity_address(row.entity_id, row.entity_type),
        plain(row.entity_id),
    )


@register.filter
def key_address(row: Any, key: str | None) -> str:
    """Return the URL of the facts for one key of a row's entity."""
    return entity_address(row.entity_id, row.entity_type, key)


@register.filter
def short(value: object) -> str:
    """Return the start and end of an id; the full id is in the link and title.

    One end is not enough: the ids of one import share their start and count up at their end, as do those of the next.
    """
    text = str(value or "")
    return f"{text[:3]}…{text[-6:]}" if len(text) > 12 else text or "–"


@register.filter
def job_link(job_id: object) -> SafeString:
    """Return a link to a job that shows its shortened id, and the full one on hover."""
    return _link("derive_job", job_id)


@register.filter
def run_link(run_id: object) -> SafeString:
    """Return a link to a run, as ``job_link``."""
    return _link("derive_run", run_id)


def _link(model: str, key: object) -> SafeString:
    if not key:
        return format_html("{}", "–")
    address = reverse(f"admin:{model}_change", args=(key,))
    return format_html('<a class="hc-link hc-mono" href="{}" title="{}">{}</a>', address, key, short(key))
