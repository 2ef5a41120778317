"""The rule ``date``: the quote names the value's date or one within it."""

import re

from derive.proofs.association import FAR, distances, has_own_verb, label_before
from derive.proofs.calendar_date import Date
from derive.proofs.comparing_dates import Fit, fit
from derive.proofs.date_reading import DATE_WORDS, dates
from derive.proofs.judgement import Context, Judgement, Verdict, refuted, shown, supported, undecided
from derive.proofs.keys import Key, key_of
from derive.proofs.polarity import is_negation
from derive.proofs.reading import Reading, read
from derive.proofs.times_of_day import judge_times, times_of_day

_STARTS = frozenset(
    "start begin began from birth born commencement effective founded since opened joined first earliest issue".split()
)
_ENDS = frozenset(
    "end until death died expiry expires expiration termination closed left last latest finish to due deadline".split()
)
_ERA_WORDS = frozenset({"bby", "aby", "bc", "bce", "ad", "ce"})
_SHORT_RANGE = re.compile(r"(\d{4})\s?[-/–]\s?(\d{2})(?!\d)")
_DATE_WORDS = DATE_WORDS | {"am", "pm", "m", "century"}
_MAY_BE_DATE = re.compile(r"\d{4}|\d\s?[-/.:–]\s?\d|[^\x00-\x7f]")
_LOOSE = frozenset(
    "in on at from to until and the of early mid late circa about around between since before after c ca approximately "
    "by year years t z utc gmt am pm p m a through till fiscal".split()
)
_OPEN = {
    Fit.FINER: "The quote says only {quoted}; {value} says more.",
    Fit.NO_YEAR: "The quote says {quoted} without a year; {value} has one.",
    Fit.TWO_WAYS: "The quote's {quoted} can be read in two ways, one of which is {value}.",
    Fit.WITHIN: "The quote says {quoted}; {value} lies in it, but is not what it says.",
    Fit.OVERLAPS: "The quote says {quoted}, which only overlaps {value}.",
}


def judge_date(value: str, quote: str, context: Context) -> Judgement:
    """Judge a date, a part of one, a period or a time of day."""
    found = dates(in_full(value))
    times = times_of_day(value)
    if not found:
        if times:
            return judge_times(times, quote, supported("The quote gives that time."))
        return _judge_bare_year(value, quote, context)
    wanted = next((date for date in found if date.is_range), found[-1])
    quote = in_full(quote)
    reading, said = read(quote), shown(value)
    if wanted.impossible:
        return _judge_impossible(reading, dates(quote), wanted, said)
    judged = _Case(reading, dates(quote), key_of(context.key)).judge(wanted, said)
    return judge_times(times, quote, judged) if times and judged.verdict is Verdict.SUPPORTED else judged


def is_date(value: str) -> bool:
    """Whether a whole value is one date, a range of dates, or a time of day."""
    if not _MAY_BE_DATE.search(value) and _DATE_WORDS.isdisjoint(read(value).low):
        return False
    value = in_full(value)
    found = [date for date in dates(value) if not date.is_range]
    if not found:
        return len(value) < 12 and bool(times_of_day(value))
    low = read(value).low
    inside = {at for date in found for at in range(date.start, date.end)}
    return all(at in inside or not word.isalpha() or word in _LOOSE for at, word in enumerate(low))


def is_same_date(first: str, second: str) -> bool:
    """Whether two values name the same date with the same precision."""
    ours, theirs = dates(in_full(first)), dates(in_full(second))
    if not ours or len(ours) != len(theirs) or times_of_day(first) != times_of_day(second):
        return False
    pairs = list(zip(ours, theirs, strict=True))
    return all(fit(one, other) is Fit.SAME and fit(other, one) is Fit.SAME for one, other in pairs)


def in_full(text: str) -> str:
    """Write the second year of "1914–18" in full."""
    if "-" not in text and "–" not in text and "/" not in text:
        return text

    def full(match: re.Match[str]) -> str:
        first, second = int(match[1]), int(match[2])
        is_range = 1000 <= first <= 2299 and second > first % 100 and (second > 12 or second == first % 100 + 1)
        return f"{first}-{first // 100 * 100 + second}" if is_range else match[0]

    return _SHORT_RANGE.sub(full, text)


def _judge_bare_year(value: str, quote: str, context: Context) -> Judgement:
    """Judge a number that only its key or quote shows to be a year."""
    digits = value.strip()
    if not (digits.isdigit() and len(digits) <= 4):
        return undecided("The value is no date that can be read.")
    era = next((word for word in key_of(context.key).words if word in _ERA_WORDS), "")
    if era:
        return judge_date(f"{digits} {era.upper()}", quote, context)
    quoted = dates(quote)
    same = [date for date in quoted if date.year is not None and abs(date.year) == int(digits)]
    if same:
        return undecided(f"The quote says {_said(read(quote), same[0])}; the value leaves out the era.")
    if quoted:
        return refuted(f"The quote says {_said(read(quote), quoted[0])}, not {shown(value)}.")
    return undecided("The value is no date that can be read.")


def _judge_impossible(reading: Reading, quoted: tuple[Date, ...], wanted: Date, said: str) -> Judgement:
    if any((date.year, date.month, date.day) == (wanted.year, wanted.month, wanted.day) for date in quoted):
        return undecided(f"There is no such day as {said}, though the quote says so.")
    if quoted:
        return refuted(f"The quote says {_said(reading, quoted[0])}; there is no such day as {said}.")
    return refuted(f"There is no such day as {said}.")


class _Case:
    """The comparison of a value's date with a quote, for a key."""

    def __init__(self, reading: Reading, quoted: tuple[Date, ...], key: Key) -> None:
        self.reading = reading
        self.singles = [date for date in quoted if not date.is_range]
        self.ranges = [date for date in quoted if date.is_range]
        self.asks_start = not _STARTS.isdisjoint(key.words)
        self.asks_end = not _ENDS.isdisjoint(key.words)
        self._near = dict(zip(map(id, self.singles), distances(reading, self.singles, key.cues), strict=True))

    def judge(self, wanted: Date, said: str) -> Judgement:
        if not self.singles:
            return undecided("The quote names no date.")
        fits = self._fits(wanted)
        same = [date for one, date in fits if one is Fit.SAME and not self._is_denied(date)]
        others = [date for one, date in fits if one is Fit.OTHER and not self._is_denied(date)]
        if same:
            return self._of_same(min(same, key=self._distance), others, said)
        attached = [(one, date) for one, date in fits if self._distance(date) < FAR and one is not Fit.APART]
        for one, date in attached or fits:
            if one in _OPEN:
                return undecided(_OPEN[one].format(quoted=_said(self.reading, date), value=said))
        if others:
            return refuted(f"The quote says {_said(self.reading, min(others, key=self._distance))}, not {said}.")
        if any(one is Fit.SAME for one, _ in fits):
            return refuted(f"The quote denies {said}.")
        return undecided(f"The quote names no date to compare with {said}.")

    def _fits(self, wanted: Date) -> list[tuple[Fit, Date]]:
        if wanted.is_range and self.ranges:
            return [(fit(wanted, date), date) for date in self.ranges]
        fits = [(fit(wanted, date), date) for date in self.singles]
        for date in self.ranges:
            one = fit(wanted, date)
            if one in {Fit.WITHIN, Fit.OVERLAPS}:
                # A key that asks for one end of a range is not answered by a date in between.
                one = Fit.APART if self.asks_start is not self.asks_end else Fit.WITHIN
            fits.append((one if one in {Fit.SAME, Fit.WITHIN} else Fit.APART, date))
        return fits

    def _of_same(self, date: Date, others: list[Date], said: str) -> Judgement:
        """Decide whether a date in the quote is the one the key refers to."""
        for one in self.ranges:
            if one.ends is None or date not in one.ends:
                continue
            if date is one.ends[0] and self.asks_end and not self.asks_start:
                return refuted(f"The quote says {_said(self.reading, one)}: {said} is its beginning.")
            if date is one.ends[1] and self.asks_start and not self.asks_end:
                return refuted(f"The quote says {_said(self.reading, one)}: {said} is its end.")
            return supported(f"The quote says {_said(self.reading, date)}.")
        rival = min(others, key=self._distance, default=None)
        ours = self._distance(date)
        if rival is None or self._distance(rival) + 1 >= ours or self._distance(rival) > 5:
            return supported(f"The quote says {_said(self.reading, date)}.")
        if ours == FAR:
            floor = max((one.end for one in self.singles if one.end <= date.start), default=0)
            if has_own_verb(self.reading, date, floor):
                return refuted(f"The quote gives {_said(self.reading, rival)} here; {said} belongs to something else.")
            if not label_before(self.reading, date, floor):
                return supported(f"The quote says {_said(self.reading, date)}.")
        return undecided(f"The quote says both {_said(self.reading, rival)} and {said}; which is meant is not clear.")

    def _distance(self, date: Date) -> int:
        return self._near.get(id(date), FAR)

    def _is_denied(self, date: Date) -> bool:
        low, at = self.reading.low, date.start - 1
        while at >= 0 and low[at] in {"in", "on", "the", "at", "of", "than"}:
            at -= 1
        return at >= 0 and low[at] in {"not", "instead", "rather", "never"} and is_negation(self.reading, at)


def _said(reading: Reading, date: Date) -> str:
    return shown(reading.slice(date.start, date.end))
