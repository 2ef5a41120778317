"""Words around a number that make it a bound, an estimate or a denial."""

from derive.proofs.quantity import Quantity
from derive.proofs.reading import Reading
from derive.proofs.units import unit_at

_APPROXIMATE = frozenset(
    "about around approximately approx roughly nearly almost some circa ca c ~ ≈ estimated maybe perhaps "
    "close say".split()
)
_UPWARD = frozenset("more greater higher longer older larger bigger later better".split())
_DOWNWARD = frozenset("less fewer lower smaller younger shorter earlier".split())
_ABOVE = frozenset("exceed exceeds exceeding exceeded over above surpassing surpassed > ≥".split())
_BELOW = frozenset("under below < ≤".split())
_TIMES = frozenset("seasons games matches sessions quarters episodes sets".split())
_VERBS_WITH_OVER = frozenset(
    "turned turns turn spread presided presides took takes taken take handed ruled rules stretched scattered split "
    "distributed all".split()
)
_OR_UPWARD = _UPWARD | {"over", "above"}
_OR_DOWNWARD = _DOWNWARD | {"under", "below"}
_NEGATIONS = frozenset({"no", "not", "never"})


def read_bounds_before(reading: Reading, quantity: Quantity, at: int) -> None:
    """Change the quantity by the words that end at this token, just before it."""
    low = reading.low
    hops = 0
    while at >= 0 and hops < 2 and (low[at] in _APPROXIMATE or low[at] in {"the", "a", "only", "just"}):
        quantity.is_approximate |= low[at] in _APPROXIMATE
        at -= 1
        hops += 1
    if at < 0:
        return
    upward = _direction(reading, quantity, at)
    if upward is not None:
        quantity.bound(upward=upward)
        return
    word, before = low[at], reading.word(at - 1)
    if word in {"to", "of"} and before in {"close", "region", "order", "neighbourhood", "neighborhood"}:
        quantity.is_approximate = True
    elif word in {"not", "n't"} or (word, before) in {("of", "instead"), ("than", "rather")} or (word == "no" and hops):
        quantity.is_negated = True


def _direction(reading: Reading, quantity: Quantity, at: int) -> bool | None:
    """Return whether the words before a number make it a lower bound (True), an upper one (False), or neither."""
    word, before, further = reading.low[at], reading.word(at - 1), reading.word(at - 2)
    if word == "than" and before in _UPWARD | _DOWNWARD:
        is_denied = further in _NEGATIONS or further.endswith("n't")
        return (before in _UPWARD) is not is_denied
    if word in {"least", "minimum", "min"}:
        return True if before in {"at", "a", "the"} or word != "least" else None
    if word in {"most", "maximum", "max"}:
        return False if before in {"at", "a", "the"} or word != "most" else None
    if word == "of":
        leader = before if before in {"minimum", "maximum", "upwards", "excess"} else further
        return leader != "maximum" if leader in {"minimum", "maximum", "upwards", "excess"} else None
    if word == "to" and before == "up":
        return None if further in {"and", "or", ",", "went"} else False
    if word == "as" and further == "as" and before in {"many", "much", "few", "little"}:
        return before in {"few", "little"}
    if word == "=" and before in {">", "<"}:
        return before == ">"
    if word == "over" and _is_no_comparison(reading, quantity, before):
        return None
    if word in _ABOVE or word in _BELOW:
        quantity.is_approximate |= before in {"just", "slightly", "little"}
        is_denied = before in {"not", "never", "cannot"} or (before == "to" and further == "not")
        return (word in _ABOVE) is not is_denied
    return None


def _is_no_comparison(reading: Reading, quantity: Quantity, before: str) -> bool:
    """Whether "over" does not mean "more than" ("spread over 14 countries", "62 episodes over five seasons")."""
    if before in _VERBS_WITH_OVER:
        return True
    if before in {"for", "lasted", "after", "of"}:
        return False
    if quantity.unit is not None and quantity.unit.dimension in {"time", "months"}:
        return True
    return reading.word(quantity.end) in _TIMES


def read_bounds_after(reading: Reading, quantity: Quantity) -> None:
    """Change the quantity by the words that begin just after it ("or more", "+", "below zero", "± 2")."""
    at = quantity.end
    word, following = reading.word(at), reading.word(at + 1)
    if word == "+" and reading.is_glued(at) and following != "/" and not following.isdigit():
        quantity.bound(upward=True)
        quantity.end = at + 1
    elif word in {"below", "under"} and following in {"zero", "freezing", "0"}:
        quantity.negate()
        quantity.end = at + 2
    elif word == "or" and following in _OR_UPWARD | _OR_DOWNWARD:
        quantity.bound(upward=following in _OR_UPWARD)
    elif word == "or" and following == "so":
        quantity.is_approximate = True
    elif word in {"and", "upwards"} and reading.word(at + (word == "and")) in {"upwards", "over", "above", "older"}:
        quantity.bound(upward=True)
    elif word in {"minimum", "maximum"} and quantity.unit is not None:
        quantity.bound(upward=word == "minimum")
    elif word == "±" or (word == "+" and following == "/"):
        _skip_tolerance(reading, quantity, at + (1 if word == "±" else 3))


def _skip_tolerance(reading: Reading, quantity: Quantity, at: int) -> None:
    if not reading.word(at)[:1].isdigit():
        return
    quantity.end = at + 1
    unit = unit_at(reading, at + 1)
    if unit and quantity.unit is None:
        quantity.unit, quantity.end = unit
