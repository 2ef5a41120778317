"""Finds the dates in a text: calendar dates, parts of dates, eras, decades, centuries, quarters and ranges."""

import re
from dataclasses import replace
from functools import lru_cache

from derive.proofs.calendar_date import (
    ERAS,
    MONTHS,
    TEENS,
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
from derive.proofs.number_words import DECADES, ORDINALS, spoken_number
from derive.proofs.numeric_dates import numeric_date
from derive.proofs.periods import (
    QUARTERS,
    SEASONS,
    century_date,
    decade_date,
    join_dates,
    quarter_date,
    season_date,
    years_date,
)
from derive.proofs.reading import Reading, read

_MOST = 30
_IN = frozenset(
    "in since until till by from during of before after around about circa ca c early late mid year between through to "
    "and or the spring summer autumn fall winter last next this".split()
)
_ALSO_WORDS = frozenset("may march mar jan dec sep jun oct nov feb apr aug jul".split())
_DIGIT = re.compile(r"\d")
DATE_WORDS = TEENS | {*MONTHS, *SEASONS, *ERAS, *QUARTERS, *ORDINALS, *DECADES, "fy", "'", "twenty", "thirty"}
"""Words a date may begin with."""


@lru_cache(maxsize=1_024)
def dates(text: str) -> tuple[Date, ...]:
    """Return the dates in a text in order; a range follows the two dates that form it."""
    reading = read(text)
    if not _DIGIT.search(reading.text) and DATE_WORDS.isdisjoint(reading.low):
        return ()
    found: list[Date] = []
    done = 0
    for at, word in enumerate(reading.low):
        if at < done or not ("0" <= word[0] <= "9" or word in DATE_WORDS):
            continue
        date = _date_at(reading, at)
        if date is None:
            continue
        if len(found) >= _MOST:
            break
        if found:
            joined = join_dates(reading, found, date)
            found.append(date)
            if joined is not None:
                found.append(joined)
        else:
            found.append(date)
        done = date.end
    return tuple(found)


def _date_at(reading: Reading, at: int) -> Date | None:
    word = reading.low[at]
    if "0" <= word[0] <= "9":
        return _from_digits(reading, at)
    if word in MONTHS:
        return _from_month(reading, at)
    if word in QUARTERS or word == "fy":
        return quarter_date(reading, at)
    if word in ERAS and reading.word(at + 1).isdigit() and not reading.word(at - 1).isdigit():
        return with_era(year_date(at, at + 2, int(reading.low[at + 1][:9])), word)
    if word == "'" and reading.is_glued(at + 1):
        return _from_apostrophe(reading, at)
    if word in SEASONS:
        return season_date(reading, at)
    if word in DECADES and reading.word(at - 1) in {"the", "early", "mid", "late", "-"}:
        date = years_date(reading, at, at + 1, 1900 + DECADES[word], 9)
        date.is_short = True
        return date
    return _from_words(reading, at)


def _from_words(reading: Reading, at: int) -> Date | None:
    """Read "the third of May", "nineteenth century", "nineteen ninety-eight", "third quarter of 2021"."""
    word = reading.low[at]
    if word in ORDINALS:
        number, end = ORDINALS[word], at + 1
        return _from_ordinal(reading, at, number, end)
    if word in {"twenty", "thirty"} or word in TEENS:
        spoken = spoken_number(reading.low, at)
        if spoken is None:
            return None
        if spoken.kind == "year":
            return year_date(at, spoken.end, int(spoken.low))
        if spoken.kind == "ordinal":
            return _from_ordinal(reading, at, int(spoken.low), spoken.end)
    return None


def _from_ordinal(reading: Reading, at: int, number: int, end: int) -> Date | None:
    following = reading.word(end)
    if following in {"century", "c"} or (following == "-" and reading.word(end + 1) == "century"):
        return century_date(reading, at, number, end + (2 if following == "-" else 1))
    if following in {"quarter", "half"} and number <= 4:
        months = 3 if following == "quarter" else 6
        end += 1
        end += reading.word(end) == "of"
        end += reading.word(end) in {"fiscal", "financial"}
        year, end = plain_year(reading, end)
        return None if year is None else months_date(at, end, year, months * (number - 1) + 1, months * number)
    skip = following == "of"
    month = MONTHS.get(reading.word(end + skip))
    if month is None or not 1 <= number <= 31:
        return None
    return _finish_day(reading, at, end + skip + 1, month, number)


def _from_digits(reading: Reading, at: int) -> Date | None:  # noqa: C901, PLR0912 (one notation each)
    raw = reading.raw[at]
    if (
        at
        and reading.is_glued(at)
        and (reading.low[at - 1].isalpha() or reading.low[at - 1] in {"_", "#", "$", "€", "£", "."})
    ):
        return None
    whole = numeric_date(reading, at)
    if whole is not None:
        return whole
    if not raw.isdigit():
        return _grouped_year(reading, at)
    if len(raw) > 8:
        return None
    number, end = int(raw), at + 1
    following = reading.word(end)
    glued = reading.is_glued(end)
    if len(raw) == 8 and raw[:2] in {"19", "20"} and 1 <= int(raw[4:6]) <= 12 and 1 <= int(raw[6:]) <= 31:
        return day_date(at, end, number // 10000, int(raw[4:6]), int(raw[6:]))
    if glued and following in {"st", "nd", "rd", "th"}:
        return _from_ordinal(reading, at, number, end + 1)
    if glued and (following == "s" or (following == "'" and reading.word(end + 1) == "s")) and number % 10 == 0:
        return decade_date(reading, at, number, end + (1 if following == "s" else 2))
    if (
        following in {".", "-", "/"}
        and reading.word(end + 1) in MONTHS
        and (glued or following == ".")
        and number <= 31
    ):
        end += 1
        following = reading.word(end)
    if following == "of" and reading.word(end + 1) in MONTHS and number <= 31:
        end += 1
        following = reading.word(end)
    if following in MONTHS and 1 <= number <= 31 and len(raw) <= 2:
        if following == "may" and reading.word(end + 1) in {"be", "have", "not"}:
            return None
        return _finish_day(reading, at, end + 1, MONTHS[following], number)
    shared = _shared_month(reading, at, number)
    if shared is not None:
        return shared
    era, after = era_at(reading, end)
    if era:
        return with_era(year_date(at, after, number), era)
    if reading.word(at - 1) in {"ad", "ce"} and at > 1:
        return with_era(year_date(at, end, number), reading.low[at - 1])
    if len(raw) == 4 and 1000 <= number <= 2299:
        if glued and following[0].isalpha():
            return None
        month = MONTHS.get(following)
        if month and reading.word(end + 1).isdigit() and len(reading.word(end + 1)) <= 2:
            return day_date(at, end + 2, number, month, int(reading.low[end + 1]))
        return year_date(at, end, number)
    return None


def _grouped_year(reading: Reading, at: int) -> Date | None:
    """Read "10,000 BC"; a number with a comma and no era is not a year."""
    era, after = era_at(reading, at + 1)
    digits = reading.raw[at].replace(",", "")
    if not era or not digits.isdigit() or len(digits) > 7:
        return None
    return with_era(year_date(at, after, int(digits)), era)


def _from_month(reading: Reading, at: int) -> Date | None:
    word = reading.low[at]
    if not reading.raw[at][0].isupper() and word in _ALSO_WORDS:
        return None
    month, end = MONTHS[word], at + 1
    if reading.word(end) == ".":
        end += 1
    end += reading.word(end) == "the"
    following = reading.word(end)
    if following in ORDINALS and not reading.word(end + 1).isdigit():
        return _finish_day(reading, at, end + 1, month, ORDINALS[following])
    if following.isdigit() and len(following) <= 2:
        day = int(following)
        end += 1
        if reading.word(end) in {"st", "nd", "rd", "th"} and reading.is_glued(end):
            end += 1
        return _finish_day(reading, at, end, month, day)
    end += following in {"of", ",", "-"} and (reading.word(end + 1).isdigit() or reading.word(end + 1) == "'")
    year, after = plain_year(reading, end)
    if year is not None:
        date = months_date(at, after, year, month, month)
        date.is_short = reading.word(end) == "'" or len(reading.word(end)) == 2
        return date
    if word in {"may", "march", "mar"} and (reading.starts_sentence(at) or reading.word(at - 1) not in _IN):
        return None
    return Date(at, at + 1, month=month)


def _finish_day(reading: Reading, at: int, end: int, month: int, day: int) -> Date:
    """Read the year that may follow a day and month."""
    after = end
    after += reading.word(after) == "."
    while reading.word(after) in {",", "of", "in", "-", "/"} and (
        reading.word(after + 1).isdigit() or reading.word(after + 1) == "'"
    ):
        after += 1
    year, stop = plain_year(reading, after)
    if year is None:
        return day_date(at, end, None, month, day)
    era, era_end = era_at(reading, stop)
    date = day_date(at, stop, year, month, day)
    date.is_short = reading.word(after) == "'" or len(reading.word(after)) == 2
    if era:
        line, sign = ERAS[era]
        place = (year * sign) * YEAR_DAYS + (month - 1) * 31 + day - 1
        return replace(date, end=era_end, line=line, year=year * sign, first=place, last=place, has_era=True)
    return date


def _from_apostrophe(reading: Reading, at: int) -> Date | None:
    word = reading.word(at + 1)
    if not (word.isdigit() and len(word) == 2) or (at and reading.is_glued(at)):
        return None
    short = int(word)
    if reading.word(at + 2) == "s" and reading.is_glued(at + 2) and short % 10 == 0:
        date = decade_date(reading, at, 1900 + short if short >= 30 else 2000 + short, at + 3)
    else:
        date = year_date(at, at + 2, full_year(short))
    if date is not None:
        date.is_short = True
    return date


def _shared_month(reading: Reading, at: int, number: int) -> Date | None:
    """Read the first day of "3–5 May 1998" or "3 and 5 May"."""
    if not 1 <= number <= 31 or reading.word(at + 1) not in {"-", "to", "and"}:
        return None
    following = reading.word(at + 2)
    if not following.isdigit() or len(following) > 2:
        return None
    end = at + 3
    if reading.word(end) in {"st", "nd", "rd", "th"}:
        end += 1
    end += reading.word(end) == "of"
    month = MONTHS.get(reading.word(end))
    if month is None:
        return None
    year, _ = plain_year(reading, end + 1)
    return day_date(at, at + 1, year, month, number)
