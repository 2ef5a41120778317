"""Ages and times as command options: 12h, 30d, 2w; 2026-01-31T12:00:00Z."""

import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGE = re.compile(r"([0-9]{1,6})([smhdw])")


def age(text: str) -> timedelta:
    """Parse an age; raise ArgumentTypeError with what to write instead."""
    match = _AGE.fullmatch(text)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is not an age: write a number and s, m, h, d or w, like 12h, 30d, 2w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def moment(text: str) -> datetime:
    """Parse an ISO time, UTC unless it names a zone, or an age before now; raise as ``age``."""
    try:
        if _AGE.fullmatch(text):
            return datetime.now(UTC) - age(text)
        named = datetime.fromisoformat(text)
        return named.astimezone(UTC) if named.tzinfo else named.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ArgumentTypeError(
            f"{text!r} is not a time: write 2026-01-31, 2026-01-31T12:00:00Z, or an age like 24h or 7d"
        ) from None
