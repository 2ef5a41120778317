"""Reading filters from an address: bounded, typed, and with a word for what cannot be understood."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from uuid import UUID

from django.http import QueryDict
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from derive.strict_types import check_storable

MAX_CHARACTERS = 400
_AGO = re.compile(r"(?P<amount>[0-9]{1,4})(?P<unit>[mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)


@dataclass
class QueryReader:
    """A query string being read; ``problems`` gathers what could not be understood, a line each.

    ``labels`` says what the page calls each of its fields, so that a problem is told of what people see.
    """

    query: QueryDict
    labels: Mapping[str, str]
    problems: list[str] = field(default_factory=list)

    def text(self, name: str) -> str:
        """Return a text without blanks at its ends; empty when there is none or none that a column could hold."""
        value = self.query.get(name, "").strip()
        if len(value) > MAX_CHARACTERS:
            return self._bad(name, f"is longer than {MAX_CHARACTERS} characters")
        try:
            return check_storable(value)
        except ValueError as error:
            return self._bad(name, str(error))

    def one_of(self, name: str, values: Collection[str]) -> str:
        """Return one of the values; empty when there is none."""
        value = self.text(name)
        return value if not value or value in values else self._bad(name, f"is none of {', '.join(sorted(values))}")

    def guid(self, name: str) -> UUID | None:
        """Return a guid."""
        value = self.text(name)
        found = as_guid(value)
        if value and found is None:
            self._bad(name, "is no id")
        return found

    def moment(self, name: str) -> datetime | None:
        """Return a moment: ``today``, ``24h`` (ago), or a date and time in the viewer's zone."""
        value = self.text(name)
        if not value:
            return None
        moment = read_moment(value)
        if moment is None:
            self._bad(name, "is no time such as today, 24h or 2026-01-31T12:00")
        return moment

    def _bad(self, name: str, why: str) -> str:
        self.problems.append(f"{self.labels[name]} {why}")
        return ""


def as_guid(text: str) -> UUID | None:
    """Return the guid that a text is, written as one (32 hex digits, dashes or none), or None."""
    if not re.fullmatch(r"[0-9A-Fa-f]{8}-?([0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}", text):
        return None
    return UUID(text)


def read_moment(text: str) -> datetime | None:
    """Return the moment a text names in the viewer's zone, or None."""
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
