"""Decades, centuries, quarters and seasons, and ranges formed by two dates."""

from derive.proofs.calendar_date import (
    ERAS,
    YEAR_DAYS,
    Date,
    day_date,
    era_at,
    full_year,
    months_date,
    plain_year,
    with_era,
    year_date,
)
from derive.proofs.reading import Reading

SEASONS = {"spring": (3, 5), "summer": (6, 8), "autumn": (9, 11), "fall": (9, 11), "winter": (12, 12)}
QUARTERS = {"q": 3, "h": 6}
_PARTS = {"early": (0, 3), "mid": (4, 6), "late": (7, 9)}


def quarter_date(reading: Reading, at: int) -> Date | None:
    """Read "Q3 2021", "H1 2021", "FY21"."""
    word, number = reading.low[at], reading.word(at + 1)
    if word == "fy":
        if number.isdigit() and len(number) in {2, 4}:
            return year_date(at, at + 2, int(number) if len(number) == 4 else full_year(int(number)))
        return None
    if not (reading.is_glued(at + 1) and number in {"1", "2", "3", "4"}):
        return None
    end = at + 2
    while reading.word(end) in {"of", "-", "/", ",", "fy", "fiscal", "'"}:
        end += 1
    months = QUARTERS[word]
    last = months * int(number)
    year, after = plain_year(reading, end)
    if year is None and reading.word(end).isdigit() and len(reading.word(end)) == 2 and end > at + 2:
        year, after = full_year(int(reading.word(end))), end + 1
    if year is None:
        year_before = reading.word(at - 1)
        if year_before.isdigit() and len(year_before) == 4:
            return months_date(at - 1, at + 2, int(year_before), last - months + 1, last)
        return Date(at, at + 2, month=last - months + 1, day=-last)
    return months_date(at, after, year, last - months + 1, last) if last <= 12 else None


def season_date(reading: Reading, at: int) -> Date | None:
    """Read "summer of 1969"."""
    end = at + 1
    end += reading.word(end) == "of"
    year, after = plain_year(reading, end)
    if year is None:
        return None
    first, last = SEASONS[reading.low[at]]
    return months_date(at, after, year, first, last)


def decade_date(reading: Reading, at: int, number: int, end: int) -> Date | None:
    """Read "1990s", "the 90s", "the 1800s"."""
    if number >= 1000:
        return years_date(reading, at, end, number, 99 if number % 100 == 0 and number < 1900 else 9)
    if 20 <= number <= 90 and reading.word(at - 1) in {"the", "early", "mid", "late", "'", "-"}:
        before = reading.word(at - 2) + reading.word(at - 1)
        if not any(word in before for word in ("his", "her", "their")):
            date = years_date(reading, at, end, 1900 + number, 9)
            date.is_short = True
            return date
    return None


def years_date(reading: Reading, at: int, end: int, year: int, count: int) -> Date:
    """Return the date of a range of years, narrowed by a preceding early, mid or late."""
    before = reading.word(at - 1)
    before = reading.word(at - 2) if before == "-" else before
    first, last = _PARTS.get(before, (0, 9)) if count == 9 else (0, count)
    return Date(
        at, end, first=(year + first) * YEAR_DAYS, last=(year + last) * YEAR_DAYS + YEAR_DAYS - 1, is_period=True
    )


def century_date(reading: Reading, at: int, number: int, end: int) -> Date | None:
    """Read "12th century"."""
    if not 1 <= number <= 30:
        return None
    era, after = era_at(reading, end)
    before = reading.word(at - 1)
    before = reading.word(at - 2) if before == "-" else before
    first, last = {"early": (1, 35), "mid": (30, 70), "late": (65, 100)}.get(before, (1, 100))
    if era in {"bc", "bce"}:
        return Date(
            at,
            after,
            first=-100 * number * YEAR_DAYS,
            last=(-100 * number + 100) * YEAR_DAYS - 1,
            is_period=True,
            has_era=True,
        )
    year = 100 * (number - 1)
    # Prose includes 1900 in the twentieth century.
    first = 0 if first == 1 else first
    return Date(
        at, after, first=(year + first) * YEAR_DAYS, last=(year + last) * YEAR_DAYS + YEAR_DAYS - 1, is_period=True
    )


def join_dates(reading: Reading, found: list[Date], date: Date) -> Date | None:
    """Return the range that two adjacent dates form, taking parts the first omits from the second."""
    before = found[-1]
    between = reading.low[before.end : date.start]
    if (
        before.is_range
        or len(between) > 2
        or not between
        or between[0] not in {"-", "to", "and", "until", "through", "till", "/"}
    ):
        return None
    if between[0] == "and" and reading.word(before.start - 1) != "between":
        return None
    if between[0] == "/" and before.month is not None:
        return None
    if before.year is None and date.year is not None and before.month is not None and not before.is_period:
        completed = (
            day_date(before.start, before.end, date.year, before.month, before.day)
            if before.day
            else months_date(before.start, before.end, date.year, before.month, before.month)
        )
        found[-1] = before = completed
    if date.has_era and not before.has_era and before.year is not None and before.line == "ce":
        era = next((word for word in reading.low[date.start : date.end] if word in ERAS), "")
        if era:
            found[-1] = before = with_era(before, era)
    if before.line != date.line or not before.is_dated or not date.is_dated or before.first > date.last:
        return None
    return Date(
        before.start,
        date.end,
        line=date.line,
        first=before.first,
        last=date.last,
        is_range=True,
        is_period=True,
        has_era=date.has_era,
        ends=(before, date),
    )
