"""Cron expressions: five fields in UTC, described in words, with their next times."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from cron_descriptor import Options, get_description
from croniter import CroniterBadDateError, croniter

FIELDS = 5
MAX_CHARACTERS = 100
# What both libraries understand alike: of their extensions only the month's last day (L).
_PART = r"(\*|[0-9]{1,2}|[A-Za-z]{3})(-([0-9]{1,2}|[A-Za-z]{3}))?(/[0-9]{1,2})?"
_FIELD = re.compile(rf"{_PART}(,{_PART})*|L")
_IN_WORDS = Options(use_24hour_time_format=True, locale_code="en_US")


class BadCron(ValueError):
    """The expression is invalid; the message says what to write."""


@dataclass(frozen=True)
class Cron:
    """A validated expression."""

    expression: str

    @classmethod
    def read(cls, text: str) -> "Cron":
        """Parse an expression; raise BadCron if it is invalid, has seconds, or never runs."""
        fields = text.split()
        if text.strip().startswith("@"):
            raise BadCron("Write the five fields themselves: 0 0 * * * for @daily.")
        if len(fields) > FIELDS:
            raise BadCron(
                f"This has {len(fields)} fields: a sixth would be seconds, but nothing runs more often than once "
                "a minute. Write five: minute, hour, day of the month, month, day of the week."
            )
        if len(fields) < FIELDS or len(text) > MAX_CHARACTERS:
            raise BadCron(
                "Write five fields: minute, hour, day of the month, month, day of the week, as in 0 2 * * * (every "
                "night at 02:00 UTC)."
            )
        cron = cls(" ".join(fields))
        cron._check()
        return cron

    def _check(self) -> None:
        if not all(_FIELD.fullmatch(field) for field in self.expression.split()):
            raise BadCron(
                "A field holds numbers, names such as mon or jan, and * , - / between them: 0 8-18 * * mon-fri."
            )
        try:
            self.after(datetime.now(UTC))
        except CroniterBadDateError:
            raise BadCron("This never runs: no month has such a day.") from None
        except (ValueError, KeyError) as error:
            raise BadCron(f"This is not a cron expression: {error}") from None

    @property
    def words(self) -> str:
        """Its description, as in ``At 02:00, only on Monday``; times are UTC."""
        return str(get_description(self.expression, _IN_WORDS))

    def after(self, moment: datetime) -> datetime:
        """Return the first time after a given time."""
        return self.next_times(moment, 1)[0]

    def next_times(self, moment: datetime, count: int) -> list[datetime]:
        """Return the next times after a given time."""
        times = croniter(self.expression, moment.astimezone(UTC)).all_next(datetime)
        return list(islice(times, count))


def in_words(expression: str | None) -> str:
    """Describe an expression, or say why it is invalid, for rows that may have been written past a form."""
    try:
        return Cron.read(expression or "").words
    except BadCron as error:
        return str(error)
