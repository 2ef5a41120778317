"""Times of day in a text."""

import re

from derive.proofs.judgement import Judgement, refuted, undecided

_TIME = re.compile(
    r"\b(\d{1,2})(?:[:.h](\d{2}))?(?::(\d{2}))?\s{0,2}([ap])\.?m\b|\b(\d{1,2}):(\d{2})(?::(\d{2}))?(?![.,:]?\d)",
    re.IGNORECASE,
)
_MOST = 20


def times_of_day(text: str) -> list[int]:
    """Return the times of day a text names, in seconds since midnight."""
    found: list[int] = []
    for match in _TIME.finditer(text):
        hour, minute, second = int(match[1] or match[5]), int(match[2] or match[6] or 0), int(match[3] or match[7] or 0)
        if match[4]:
            hour = hour % 12 + (12 if match[4] in "pP" else 0)
        if hour < 25 and minute < 60 and second < 60:
            found.append(3600 * hour + 60 * minute + second)
        if len(found) == _MOST:
            break
    return found


def judge_times(wanted: list[int], quote: str, otherwise: Judgement) -> Judgement:
    """Judge a value's times of day; if the quote contains all of them, return the other judgement."""
    quoted = times_of_day(quote)
    if not quoted:
        return undecided("The quote gives no time of day.")
    if all(time in quoted for time in wanted):
        return otherwise
    if all(any(_differ_in_seconds_given(time, other) for other in quoted) for time in wanted):
        return undecided("The value or the quote leaves out the seconds.")
    return refuted("The quote gives another time of day.")


def _differ_in_seconds_given(first: int, second: int) -> bool:
    return first // 60 == second // 60 and (first % 60 == 0 or second % 60 == 0)
