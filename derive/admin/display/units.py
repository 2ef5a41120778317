"""Times, durations and sizes for people; times in the viewer's time zone, with UTC on hover."""

from datetime import UTC, datetime

from django.utils import timezone
from django.utils.html import escape, format_html
from django.utils.safestring import SafeString


def duration(seconds: float) -> str:
    """Format a duration in its two most significant units: ``0.24 s``, ``12 s``, ``4 min 10 s``, ``3 d 4 h``."""
    if seconds < 0:
        return f"in {duration(-seconds)}"
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds >= 0.001 else "0 s"
    whole = round(seconds)
    for unit, size, lesser, lesser_size in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // lesser_size
            return f"{whole // size} {unit} {rest} {lesser}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def rate(value: float) -> str:
    """Format a rate with as many digits as are significant, and thin spaces between thousands."""
    return f"{value:.2g}" if 0 < value < 10 else f"{round(value):,}".replace(",", "\u202f")


def size(byte_count: int) -> str:
    """Format a size in bytes, KiB, MiB or GiB."""
    amount = float(byte_count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def moment(value: datetime | None, empty: str = "–") -> SafeString:
    """Return a time in the viewer's time zone, with UTC on hover."""
    if value is None:
        return escape(empty)
    utc = value.astimezone(UTC)
    return format_html(
        '<time datetime="{}" title="{} UTC">{}</time>',
        utc.isoformat(),
        f"{utc:%Y-%m-%d %H:%M:%S.%f}"[:-3],
        f"{timezone.localtime(value):%Y-%m-%d %H:%M:%S}",
    )


def ago(value: datetime | None) -> SafeString:
    """Return a time whose age ``dashboard.js`` displays; the HTML itself does not change every second."""
    if value is None:
        return escape("–")
    utc = value.astimezone(UTC)
    return format_html(
        '<time data-ago datetime="{}" title="{} UTC">{}</time>',
        utc.isoformat(),
        f"{utc:%Y-%m-%d %H:%M:%S}",
        f"{timezone.localtime(value):%Y-%m-%d %H:%M:%S}",
    )


def age(value: datetime | None, now: datetime) -> SafeString:
    """Return how long ago a time was, with the time itself on hover."""
    if value is None:
        return escape("–")
    utc = value.astimezone(UTC)
    return format_html(
        '<time data-age datetime="{}" title="{} UTC">{}</time>',
        utc.isoformat(),
        f"{utc:%Y-%m-%d %H:%M:%S}",
        duration((now - value).total_seconds()),
    )
