"""Ages as commands take them: 12h, 30d, 2w."""

import re
from argparse import ArgumentTypeError
from datetime import timedelta

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_AGE = re.compile(r"([0-9]{1,6})([smhdw])")


def age(text: str) -> timedelta:
    """Return how long an age is; raise ArgumentTypeError with what to write instead."""
    match = _AGE.fullmatch(text)
    if match is None:
        raise ArgumentTypeError(f"{text!r} is no age: write a number and s, m, h, d or w, like 12h, 30d, 2w")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})
