"""A date in a text, as a range of days on the timeline of its era."""

from calendar import monthrange
from dataclasses import dataclass, replace

from derive.proofs.number_words import spoken_number
from derive.proofs.reading import Reading

_NAMES = "january february march april may june july august september october november december".split()
MONTHS = {name: number for number, name in enumerate(_NAMES, start=1)}
MONTHS |= {name[:3]: number for name, number in MONTHS.items()} | {"sept": 9}
ERAS = {
    "bc": ("ce", -1),
    "bce": ("ce", -1),
    "ad": ("ce", 1),
    "ce": ("ce", 1),
    "bby": ("yavin", -1),
    "aby": ("yavin", 1),
    "ah": ("hijri", 1),
    "bp": ("present", -1),
    "ta": ("third age", 1),
    "sa": ("second age", 1),
    "fa": ("first age", 1),
    "auc": ("auc", 1),
}
YEAR_DAYS = 372
"""Every month counts 31 days, since only the order matters."""
TEENS = frozenset("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split())


@dataclass(slots=True)
class Date:
    """A period as named in a text; parts that are not named are None.

    ``first`` and ``last`` are inclusive positions on the era's timeline, and ``last`` is never less than ``first``.
    Without a year, both are 0 and only month and day count. ``impossible`` means that there is no such day. ``other``
    is the date read with day and month exchanged.
    """

    start: int
    end: int
    line: str = "ce"
    year: int | None = None
    month: int | None = None
    day: int | None = None
    first: int = 0
    last: int = 0
    has_era: bool = False
    is_range: bool = False
    is_period: bool = False
    impossible: bool = False
    is_short: bool = False
    other: "Date | None" = None
    ends: "tuple[Date, Date] | None" = None

    @property
    def is_dated(self) -> bool:
        """Whether the date has a position in time, not only a month or day."""
        return self.year is not None or self.is_period


def year_date(start: int, end: int, year: int) -> Date:
    """Return the date of a whole year."""
    return Date(start, end, year=year, first=year * YEAR_DAYS, last=year * YEAR_DAYS + YEAR_DAYS - 1)


def months_date(start: int, end: int, year: int, first: int, last: int) -> Date:
    """Return the date of some months of a year."""
    return Date(
        start,
        end,
        year=year,
        month=first if first == last else None,
        first=year * YEAR_DAYS + (first - 1) * 31,
        last=year * YEAR_DAYS + last * 31 - 1,
        is_period=first != last,
    )


def day_date(start: int, end: int, year: int | None, month: int, day: int) -> Date:
    """Return the date of a day; without a year, only month and day count."""
    is_month = 1 <= month <= 12
    # Uses a leap year if none is named, or if the year is outside Python's calendar.
    days = monthrange(year if year is not None and 1 <= year <= 9999 else 2000, month)[1] if is_month else 0
    place = 0 if year is None else year * YEAR_DAYS + (month - 1) * 31 + day - 1
    return Date(start, end, year=year, month=month, day=day, first=place, last=place, impossible=not 1 <= day <= days)


def era_at(reading: Reading, at: int) -> tuple[str, int]:
    """Return the era named at a token, and the token after it; empty when none is."""
    word = reading.word(at)
    if word in ERAS and (reading.raw[at].isupper() or word in {"bby", "aby", "bce"}):
        return word, at + 1
    if word in {"b", "a"} and reading.word(at + 1) == "." and reading.word(at + 2) in {"c", "d"}:
        era = "bc" if word == "b" else "ad"
        end = at + 3
        if reading.word(end) == ".":
            end += 1
        return era, end
    if word == "before" and reading.word(at + 1) in {"christ", "the"}:
        if reading.word(at + 1) == "christ":
            return "bc", at + 2
        if reading.low[at + 2 : at + 5] == ["battle", "of", "yavin"]:
            return "bby", at + 5
    if word == "after" and reading.low[at + 1 : at + 5] == ["the", "battle", "of", "yavin"]:
        return "aby", at + 5
    return "", at


def with_era(date: Date, era: str) -> Date:
    """Return the date in an era."""
    line, sign = ERAS[era]
    year = (date.year or 0) * sign
    return replace(
        date, line=line, year=year, first=year * YEAR_DAYS, last=year * YEAR_DAYS + YEAR_DAYS - 1, has_era=True
    )


def plain_year(reading: Reading, at: int) -> tuple[int | None, int]:
    """Return the year written at a token, in full, short or in words, and the token after it."""
    word = reading.word(at)
    if word.isdigit() and len(word) == 4 and 1000 <= int(word) <= 2299:
        return int(word), at + 1
    if word == "'" and reading.word(at + 1).isdigit() and len(reading.word(at + 1)) == 2:
        return full_year(int(reading.word(at + 1))), at + 2
    era, after = era_at(reading, at + 1) if word.isdigit() and len(word) <= 4 else ("", at)
    if era:
        return int(word), at + 1
    if word in TEENS or word == "twenty":
        spoken = spoken_number(reading.low, at)
        if spoken is not None and spoken.kind == "year":
            return int(spoken.low), spoken.end
    return None, after


def full_year(short: int) -> int:
    """Return the year that two digits most likely mean."""
    return short + (2000 if short < 40 else 1900)
