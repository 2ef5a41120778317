"""Parsing of typed values: ids, and times in the viewer's time zone."""

import re
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

from django.utils import timezone
from django.utils.dateparse import parse_datetime

_AGO = re.compile(r"(?P<amount>[0-9]{1,4})(?P<unit>[mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


def as_guid(text: str) -> UUID | None:
    """Parse a GUID (32 hex digits, with or without dashes); None if it is not one."""
    if not re.fullmatch(r"[0-9A-Fa-f]{8}-?([0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}", text):
        return None
    return UUID(text)


def read_moment(text: str) -> datetime | None:
    """Parse a time in the viewer's time zone; None if it is not one."""
    now = timezone.now()
    if text == "today":
        return timezone.make_aware(datetime.combine(timezone.localdate(), time.min))
    if ago := _AGO.fullmatch(text):
        return now - timedelta(**{_UNITS[ago["unit"]]: int(ago["amount"])})
    try:
        moment = parse_datetime(text) or parse_datetime(f"{text}T00:00")
    except ValueError:
        return None
    if moment is None or not EARLIEST.year < moment.year < LATEST.year:
        return None
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment
