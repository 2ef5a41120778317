"""Completes quotes that cut off part of a word or number, which changes their meaning: "19 BBY" of "119 BBY"."""

_MAX_CHARACTERS = 40
"""Limit of what is added at either end; no word or number that a rule reads is longer."""
_IN_NUMBERS = frozenset(".,'’")
_SIGNS = frozenset("-−")


def widened(quote: str, text: str, start: int, end: int) -> str:
    """Return the quote ``text[start:end]``, extended by the rest of a word or number that is cut at either end."""
    first = _start(text, start)
    last = _end(text, end)
    if first == start and last == end:
        return quote
    return text[first:start] + quote.strip() + text[end:last]


def _start(text: str, start: int) -> int:
    first = start
    least = max(start - _MAX_CHARACTERS, 0)
    while first > least and _is_one(text[first - 1], text[first]):
        first -= 1
    while first - 2 >= least and _is_number(text[first - 2 : first + 1]):
        first -= 1
        while first > least and text[first - 1].isdigit():
            first -= 1
    is_signed = first > 0 and text[first - 1] in _SIGNS and text[first].isdigit()
    if is_signed and (first == 1 or text[first - 2].isspace() or text[first - 2] == "("):
        first -= 1
    return first


def _end(text: str, end: int) -> int:
    last = end
    most = min(end + _MAX_CHARACTERS, len(text))
    while last < most and _is_one(text[last - 1], text[last]):
        last += 1
    while last + 2 <= most and _is_number(text[last - 1 : last + 2]):
        last += 1
        while last < most and text[last].isdigit():
            last += 1
    return last


def _is_one(one: str, other: str) -> bool:
    """Whether two characters belong to one number, or to one word of a script that separates words."""
    if one.isdigit() or other.isdigit():
        return one.isdigit() and other.isdigit()
    return _is_cased(one) and _is_cased(other)


def _is_cased(char: str) -> bool:
    return char.islower() or char.isupper()


def _is_number(three: str) -> bool:
    return three[0].isdigit() and three[1] in _IN_NUMBERS and three[2].isdigit()
