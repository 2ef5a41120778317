"""Finds the place of a quote that a person selected or typed."""

from derive.evidence.folding import fold
from derive.fact_report.stored import EvidenceText
from derive.strict_types import check_storable

MAX_QUOTE_CHARACTERS = 4_000


class NoSuchQuote(ValueError):
    """The quote is not in the evidence; the message is for the reviewer."""


def place_of(quote: str, item: EvidenceText | None, *, near: int = 0) -> tuple[str, int, int]:
    """Return the quote exactly as it stands in the evidence, with its place: of several the one closest to ``near``.

    Typography and white space are folded, as for a model's quotes. Offsets are code points of the item's text, the end
    exclusive. Raises NoSuchQuote.
    """
    if item is None:
        raise NoSuchQuote("This evidence item is not part of the answer.")
    if not quote.strip():
        raise NoSuchQuote("Select or type the words that prove the value.")
    if len(quote) > MAX_QUOTE_CHARACTERS:
        raise NoSuchQuote(f"A quote has at most {MAX_QUOTE_CHARACTERS:,} characters.")
    places = list(fold(item.text).find_all(quote))
    if not places:
        raise NoSuchQuote("These words are not in this evidence item; quote them exactly as they stand there.")
    start, end = min(places, key=lambda place: abs(place[0] - near))
    exact = item.text[start:end]
    try:
        return check_storable(exact), start, end
    except ValueError as error:
        raise NoSuchQuote(f"The quote {error}.") from None
