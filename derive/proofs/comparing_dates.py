"""Compares two dates."""

from dataclasses import replace
from enum import Enum, auto

from derive.proofs.calendar_date import YEAR_DAYS, Date


class Fit(Enum):
    """The result of comparing a value's date with one in its quote."""

    SAME = auto()
    """The quote's date equals the value's or lies within it: 3 May 1998 is in 1998."""
    OTHER = auto()
    APART = auto()
    """Not comparable."""
    FINER = auto()
    """The value is more precise than the quote."""
    NO_YEAR = auto()
    TWO_WAYS = auto()
    WITHIN = auto()
    """The value is part of a longer period."""
    OVERLAPS = auto()


def fit(wanted: Date, quoted: Date) -> Fit:
    """Compare a value's date with one in its quote."""
    if wanted.other is not None or quoted.other is not None:
        return _fit_ambiguous(wanted, quoted)
    if not wanted.is_dated or not quoted.is_dated:
        return _fit_without_year(wanted, quoted)
    if wanted.line != quoted.line:
        return Fit.OTHER if wanted.has_era or quoted.has_era else Fit.APART
    if quoted.is_short and not wanted.is_short and _same_in_century(wanted, quoted):
        return Fit.SAME
    if wanted.ends is not None and quoted.ends is not None:
        return _fit_ends(wanted.ends, quoted.ends)
    return _fit_spans(wanted, quoted)


def _fit_ambiguous(wanted: Date, quoted: Date) -> Fit:
    """Compare an ambiguous date: "03/05/1998" may be in March or in May."""
    ours = [replace(wanted, other=None), *([wanted.other] if wanted.other else [])]
    theirs = [replace(quoted, other=None), *([quoted.other] if quoted.other else [])]
    fits = {fit(one, other) for one in ours for other in theirs}
    if len(fits) == 1:
        return fits.pop()
    return Fit.TWO_WAYS if Fit.SAME in fits else min(fits, key=lambda one: one.value)


def _fit_spans(wanted: Date, quoted: Date) -> Fit:
    overlap = min(wanted.last, quoted.last) - max(wanted.first, quoted.first)
    if overlap < 0:
        return Fit.OTHER
    # Prose assigns 1900 to either century.
    if wanted.is_period and quoted.is_period and overlap < YEAR_DAYS < wanted.last - wanted.first:
        return Fit.OTHER
    if wanted.first <= quoted.first and quoted.last <= wanted.last:
        is_whole = (wanted.first, wanted.last) == (quoted.first, quoted.last)
        return Fit.OVERLAPS if wanted.is_range and not is_whole else Fit.SAME
    if quoted.first <= wanted.first and wanted.last <= quoted.last:
        return Fit.WITHIN if quoted.is_period else Fit.FINER
    return Fit.OVERLAPS


def _fit_ends(wanted: tuple[Date, Date], quoted: tuple[Date, Date]) -> Fit:
    fits = [fit(ours, theirs) for ours, theirs in zip(wanted, quoted, strict=True)]
    if Fit.OTHER in fits:
        return Fit.OTHER
    return next((one for one in fits if one is not Fit.SAME), Fit.SAME)


def _same_in_century(wanted: Date, quoted: Date) -> bool:
    """Whether '98 may be the value's year."""
    if wanted.year is None or quoted.year is None:
        is_same_length = wanted.last - wanted.first == quoted.last - quoted.first
        return is_same_length and (wanted.first - quoted.first) % (100 * YEAR_DAYS) == 0
    is_year = wanted.year % 100 == quoted.year % 100
    return is_year and wanted.month in {None, quoted.month} and wanted.day in {None, quoted.day}


def _fit_without_year(wanted: Date, quoted: Date) -> Fit:
    if wanted.month is None or quoted.month is None:
        return Fit.APART
    if wanted.month != quoted.month:
        return Fit.OTHER
    if wanted.day is not None and quoted.day is not None and wanted.day != quoted.day:
        return Fit.OTHER
    if wanted.day is not None and quoted.day is None:
        return Fit.FINER
    return Fit.SAME if wanted.year is None else Fit.NO_YEAR
